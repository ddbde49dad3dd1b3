// How providers are, in one shape: what is configured, what was heard of them, and what is left with them.
import { html } from "./ui.js";
import { get } from "./api.js";
import { State, Meter } from "./parts.js";
import { ago, count, percent, span } from "./format.js";

// A share of failed attempts from which on it is said.
const MANY_ERRORS = 0.1;

export const loadStandings = () =>
  Promise.all([get("/providers"), get("/status"), get("/accounts")]).then(([providers, status, accounts]) => {
    const now = Date.now() / 1000;
    const known = new Map(
      status.providers.map((one) => [
        one.name,
        { ...one, quota: one.quota.map((left) => ({ ...left, resets_at: now + left.resets_in_s })) },
      ]),
    );
    return {
      providers: providers.data.map((one) => ({
        ...one,
        heard: known.get(one.name) || null,
        accounts: accounts.data.filter((each) => each.provider === one.name),
      })),
      version: providers.version,
      roles: status.roles,
    };
  });

// What a provider is good for at this moment, in a word.
export function standing({ enabled, unusable, upstreams, accounts, heard }) {
  if (!enabled) return { is: "off", words: "switched off" };
  if (unusable) return { is: "off", words: unusable };
  const waits = accounts.filter((one) => one.usable_in_s > 0);
  if (waits.length)
    return { is: "warn", words: `set aside for ${span(Math.max(...waits.map((one) => one.usable_in_s)))}` };
  if (!heard) return { is: "good", words: "ready" };
  if (heard.reachable === false) return { is: "bad", words: heard.last_error || "it does not answer" };
  const ejected = Object.keys(heard.breakers).length;
  if (ejected) return { is: "warn", words: `${ejected} of ${upstreams.length} models ejected` };
  if (heard.error_share >= MANY_ERRORS)
    return { is: "warn", words: `${percent(heard.error_share)} of recent attempts failed` };
  if (heard.reachable === null) return { is: "good", words: "ready, not heard of yet" };
  return { is: "good", words: "ready" };
}

const Fact = ({ name, children }) =>
  html`<div>
    <dt>${name}</dt>
    <dd>${children}</dd>
  </div>`;

// What was heard of a provider: by calls, probes and lists.
export function Heard({ provider, now }) {
  const { heard } = provider;
  if (!heard) return null;
  return html`${heard.first_token_s !== null && html`<${Fact} name="first token">${span(heard.first_token_s)}<//>`}
    ${heard.error_share > 0 && html`<${Fact} name="errors">${percent(heard.error_share)} of recent attempts<//>`}
    ${Object.entries(heard.breakers).map(
      ([upstream, state]) =>
        html`<${Fact} key=${upstream} name="breaker"
          >${upstream} <${State} is=${state === "open" ? "bad" : "warn"}>${state}<//><//
        >`,
    )}
    ${heard.quota
      .filter((one) => one.resets_at > now)
      .map(
        (one) =>
          html`<${Fact} key=${one.of + one.unit} name=${one.unit}
            >${count(Math.floor(one.left))}${one.limit !== null ? ` of ${count(one.limit)}` : ""}, resets in
            ${span(Math.round(one.resets_at - now))}
            ${one.of !== provider.name && html`<span class="quiet">${one.of}</span>`}
            ${one.limit > 0 && html`<${Meter} share=${one.left / one.limit} label="${one.unit} left at ${one.of}" />`}<//
          >`,
      )}
    <${Fact} name="key">${heard.key}<//>
    <${Fact} name="heard of">${ago(heard.last_check_at, now)}<//>`;
}
