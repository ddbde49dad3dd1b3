// The admin API, as pages call it. Nothing else in the console talks to the gateway but live.js and the playground.
import { signal } from "./ui.js";

// null: not asked yet. { signed_in, token, by, version } afterwards.
export const session = signal(null);
// Whether a session has ended while the page was open.
export const expired = signal(false);

const SLOW_MS = 30000;

// An answer that says no. `param` names the field that is wrong.
export class Refused extends Error {
  constructor(status, { message, param = null, code = null } = {}) {
    super(message || `the gateway answered ${status}`);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

export async function startSession(body) {
  session.value =
    body === undefined ? await ask("GET", "/console/session") : await ask("POST", "/console/session", body);
  if (session.value.signed_in) expired.value = false;
}

export async function endSession() {
  session.value = await ask("DELETE", "/console/session");
}

export const get = (path, query) => ask("GET", `/admin/v1${path}${queryOf(query)}`);
export const act = (method, path, body, more = {}) => ask(method, `/admin/v1${path}`, body, more);

// Ask what a change would do, without making it.
export const rehearse = (change) =>
  act(change.method, withQuery(change.path, "dry_run=true"), change.body, { "if-match": quoted(change.version) });
export const apply = (change) => act(change.method, change.path, change.body, { "if-match": quoted(change.version) });

// The headers that a request of a page carries.
export const tokens = () => (session.value?.token ? { "x-gateway-console": session.value.token } : {});

const quoted = (version) => (version === "*" || !version ? "*" : `"${version}"`);
const withQuery = (path, more) => path + (path.includes("?") ? "&" : "?") + more;

export function queryOf(query = {}) {
  const said = Object.entries(query).filter(
    ([, value]) => value !== "" && value !== null && value !== undefined && value !== false,
  );
  return said.length ? `?${new URLSearchParams(said)}` : "";
}

// A name as a part of a path; slashes stay, since names of models have them.
export const inPath = (name) => name.split("/").map(encodeURIComponent).join("/");

async function ask(method, path, body, more = {}) {
  const headers = { accept: "application/json", ...tokens(), ...more };
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(SLOW_MS),
    });
  } catch (error) {
    throw new Refused(0, {
      message:
        error.name === "TimeoutError"
          ? `the gateway did not answer within ${SLOW_MS / 1000} s`
          : "the gateway does not answer; it may have stopped",
    });
  }
  const said = await response.json().catch(() => ({}));
  if (response.ok) return said;
  if (response.status === 401 && !path.startsWith("/console/")) expired.value = true;
  throw new Refused(response.status, said.error);
}
