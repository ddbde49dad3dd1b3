// Numbers for people.
export function usd(nano) {
  if (nano === null || nano === undefined) return "–";
  const value = nano / 1e9;
  if (value === 0) return "$0";
  if (Math.abs(value) >= 0.01)
    return `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: Math.abs(value) < 1 ? 4 : 2 })}`;
  if (Math.abs(value) < 1e-6) return "< $0.000001";
  return `$${+value.toPrecision(2)}`;
}

export function span(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

export const ms = (value) => (value === null || value === undefined ? "–" : span(value / 1000));
export const ago = (at, now = Date.now() / 1000) => (at ? `${span(Math.max(0, Math.round(now - at)))} ago` : "never");
export const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
export const moment = (at) => `${new Date(at * 1000).toLocaleDateString("en-CA")} ${clock(at)}`;
export const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
export const percent = (share) => `${Math.round(share * 100)} %`;

export function tokens(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return String(value);
  return value < 1e6 ? `${+(value / 1000).toFixed(value < 10000 ? 1 : 0)} k` : `${+(value / 1e6).toFixed(1)} M`;
}

// A price in nano-USD for a million tokens.
export const perMtok = (nano) =>
  nano === null || nano === undefined ? "–" : nano === 0 ? "free" : `$${+(nano / 1e9).toPrecision(3)}`;
