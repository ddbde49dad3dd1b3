// Can I work now? Providers and what is left with each, budgets, and what just happened.
import { html, useState, useEffect } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { useLoad, useNow } from "../lib/load.js";
import { listen } from "../lib/live.js";
import { href } from "../lib/router.js";
import { Heard, loadStandings, standing } from "../lib/standing.js";
import { Page, Section, Loaded, State, Empty, Meter } from "../lib/parts.js";
import { ago, clock, count, ms, span, usd } from "../lib/format.js";

const MOST_EVENTS = 40;

const load = () =>
  Promise.all([loadStandings(), get("/spending"), get("/config")]).then(([standings, spending, config]) => ({
    ...standings,
    spending: spending.data,
    config,
  }));

export function Now() {
  const loaded = useLoad(load, [], { on: ["turn", "reload", "call"], everyMs: 3000 });
  return html`<${Page}
    title="Can I work now?"
    question="Providers, what is left with each, budgets, and what just happened."
  >
    <${Loaded} of=${loaded} what="the state"
      >${(said) =>
        html` <${Answer} ...${said} />
          ${said.config.error && html`<${Mistakes} ...${said.config} />`}
          <${Providers} ...${said} />
          <${Roles} roles=${said.roles} />
          <${Budgets} spending=${said.spending} />`}<//
    >
    <${Events}
  /><//>`;
}

function Mistakes({ running_version, error }) {
  return html`<div class="notice bad" role="alert">
    The configuration on disk has mistakes, so version ${running_version} stays in use: ${error}
  </div>`;
}

// A budget for a lifetime resets in the far future, which is never.
const FAR_S = 1e11;
const resetsIn = ({ resets_at }, now) =>
  resets_at && resets_at < FAR_S ? `resets in ${span(Math.round(resets_at - now))}` : "never resets";

function Answer({ providers, spending }) {
  const usable = providers.filter((one) => ["good", "warn"].includes(standing(one).is) && one.kind !== "demo");
  const over = spending.filter((one) => one.spent_nanousd >= one.limit_nanousd);
  const is = over.length ? "warn" : usable.length ? "good" : "bad";
  const words = !usable.length ? "No provider is ready" : over.length ? `Partly: ${over[0].what} is spent` : "Yes";
  return html`<p class="answer" role="status">
    <${State} is=${is}>${words}<//>
    <span class="quiet">${usable.length} of ${providers.length} providers take calls</span>
    ${!usable.length && html` · <a href=${href("providers")}>add a provider or its key</a>`}
  </p>`;
}

function Providers({ providers }) {
  if (!providers.length)
    return html`<${Empty}>There is no provider yet. <a href=${href("start")}>Three ways to begin</a><//>`;
  return html`<${Section} title="Providers"
    ><ul class="strip">
      ${providers.map((one) => html`<${Provider} key=${one.name} provider=${one} />`)}
    </ul><//
  >`;
}

function Provider({ provider }) {
  const now = useNow();
  const { is, words } = standing(provider);
  const mine = provider.accounts;
  const busy = provider.upstreams.reduce((sum, one) => sum + one.in_flight, 0);
  return html`<li class="card">
    <div class="card-head">
      <a href=${href("providers", { name: provider.name })}>${provider.name}</a
      ><span class="quiet">${provider.local ? "local" : provider.kind}</span>
    </div>
    <${State} is=${is}>${words}<//>
    <dl class="facts">
      ${
        busy > 0 &&
        html`<div>
          <dt>under way</dt>
          <dd>${busy}</dd>
        </div>`
      }
      ${mine
        .filter((one) => one.free_requests_left !== null)
        .map(
          (one) =>
            html`<div>
              <dt>free today</dt>
              <dd>${count(one.free_requests_left)} of ${count(one.free_requests_limit)}</dd>
            </div>`,
        )}
      ${mine
        .filter((one) => one.remaining_nanousd !== null)
        .map(
          (one) =>
            html`<div>
              <dt>left</dt>
              <dd>${usd(one.remaining_nanousd)}</dd>
            </div>`,
        )}
      ${mine
        .flatMap((one) => one.funds)
        .map(
          (one) =>
            html`<div>
              <dt>funds</dt>
              <dd>${(one.nano / 1e9).toFixed(2)} ${one.currency}</dd>
            </div>`,
        )}
      <${Heard} provider=${provider} now=${now} />
      <div>
        <dt>models</dt>
        <dd>
          ${count(provider.models_known)}${provider.refreshed_at ? `, listed ${ago(provider.refreshed_at, now)}` : ""}
        </dd>
      </div>
    </dl>
  </li>`;
}

// Who does each job at this moment, who would be next, and who would not, and why.
function Roles({ roles }) {
  if (!roles.length) return null;
  return html`<${Section} title="Roles"
    ><ul class="strip">
      ${roles.map(
        (one) =>
          html`<li class="card" key=${one.role}>
            <div class="card-head"><a href=${href("roles", { name: one.role.replace(/^role:/, "") })}>${one.role}</a></div>
            <${State} is=${one.serves ? "good" : "bad"}>${one.serves || "nobody serves it"}<//>
            ${one.then.length > 0 && html`<p class="quiet">then ${one.then.join(", ")}</p>`}
            ${one.why && html`<p class="quiet">not used: ${one.why}</p>`}
          </li>`,
      )}
    </ul><//
  >`;
}

function Budgets({ spending }) {
  const now = useNow(10000);
  return html`<${Section} title="Budgets"
    >${
      spending.length === 0
        ? html`<${Empty}>No budget limits anything. <a href=${href("money")}>Set one</a><//>`
        : html` <ul class="strip">
            ${spending.map((one) => {
              const share = one.limit_nanousd ? one.spent_nanousd / one.limit_nanousd : 1;
              return html`<li class="card" key=${one.account}>
                <div class="card-head"><span>${one.what}</span><span class="quiet">${one.window}</span></div>
                <${State} is=${share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good"}
                  >${usd(one.spent_nanousd)} of ${usd(one.limit_nanousd)}<//
                >
                <${Meter} share=${1 - share} label="left of ${one.what}" />
                <p class="quiet">
                  ${resetsIn(one, now)}${one.held_nanousd ? `, ${usd(one.held_nanousd)} held by calls under way` : ""}
                </p>
              </li>`;
            })}
          </ul>`
    }<//
  >`;
}

// The latest events, newest first. They are kept while the page is open only.
function Events() {
  const [events, setEvents] = useState([]);
  useEffect(() => {
    let waiting = [];
    let timer = null;
    const stop = listen((kind, said) => {
      if (kind === "open") return;
      waiting.push({ kind, ...said });
      if (waiting.length > MOST_EVENTS) waiting = waiting.slice(-MOST_EVENTS);
      // Hundreds of calls a second are one drawing.
      timer ??= setTimeout(() => {
        timer = null;
        const fresh = waiting.reverse();
        waiting = [];
        setEvents((before) => [...fresh, ...before].slice(0, MOST_EVENTS));
      }, 250);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return html`<${Section} title="As it happens" actions=${html`<a href=${href("calls")}>All calls</a>`}>
    ${
      events.length === 0
        ? html`<${Empty}>Calls, breakers and reloads appear here as they happen.<//>`
        : html` <ol class="events">
            ${events.map((one) => html`<li key=${`${one.at}${one.kind}${one.request_id || one.name || ""}`}><time>${clock(one.at)}</time> <${Event} ...${one} /></li>`)}
          </ol>`
    }<//
  >`;
}

function Event(one) {
  if (one.kind === "reload") return html`<span>version ${one.version} of the configuration is in use</span>`;
  if (one.kind === "turn")
    return html`<${State} is=${one.what === "back" ? "good" : "warn"}>${one.name}: ${one.what}<//>
      <span class="quiet">${one.reason}${one.for_s ? ` for ${span(one.for_s)}` : ""}</span>`;
  const last = one.attempts.at(-1);
  const is = one.status >= 400 || one.status === 0 ? "bad" : one.attempts.length > 1 || one.hung_up ? "warn" : "good";
  return html`<${State} is=${is}>${one.status}<//> <a href=${href("calls", { call: one.request_id })}>${one.route}</a>
    <span class="quiet"
      >${one.cached ? "from the cache" : last?.upstream || "no upstream"} · ${ms(one.duration_ms)} ·
      ${usd(one.cost_nanousd)}${one.dropped ? ` · ${one.dropped} events were dropped` : ""}</span
    >`;
}
