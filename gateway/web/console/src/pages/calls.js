// What happened to this call? All calls with filters, those under way, and one call's attempts.
import { html, useState, useEffect, useMemo } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { listen } from "../lib/live.js";
import { filter, href, query } from "../lib/router.js";
import { callOfEvent, callsOf, trouble } from "../lib/calls.js";
import { VirtualTable } from "../lib/virtual.js";
import { Page, Section, Loaded, State, Text, Choice } from "../lib/parts.js";
import { InFlight } from "./inflight.js";
import { Call } from "./call.js";
import { clock, moment, ms, usd } from "../lib/format.js";

const SHOWN = ["500", "2000", "10000"];
const TODAY_S = 12 * 3600;
// A call that ended before events were heard is in the ledger by then.
const RECORDED_WITHIN_MS = 2500;

const COLUMNS = [
  {
    title: "Time",
    width: "9.5rem",
    of: (one) =>
      html`<a href=${href("calls", { ...query.value, call: one.id })} title=${one.id}
        >${Date.now() / 1000 - one.at < TODAY_S ? clock(one.at) : moment(one.at)}</a
      >`,
  },
  { title: "Asked for", of: (one) => one.route },
  { title: "Served by", of: (one) => one.upstream },
  {
    title: "Outcome",
    width: "minmax(8rem, .8fr)",
    of: (one) =>
      html`<${State}
        is=${one.open ? "off" : one.status >= 400 || one.status === 0 ? "bad" : trouble(one) ? "warn" : "good"}
        >${one.open ? "under way" : one.status} <span class="quiet">${one.outcome}</span><//
      >`,
  },
  { title: "Tries", width: "3.5rem", number: true, of: (one) => one.tries },
  { title: "Time taken", width: "6.5rem", number: true, of: (one) => ms(Math.round(one.duration_ms)) },
  { title: "First token", width: "6.5rem", number: true, of: (one) => ms(one.first_token_ms) },
  { title: "Cost", width: "6rem", number: true, of: (one) => usd(one.cost_nanousd) },
  { title: "Key", width: "6rem", of: (one) => one.key || "–" },
];

export function Calls() {
  const { route = "", provider = "", key = "", only = "", limit = SHOWN[0], call } = query.value;
  const loaded = useLoad(
    () => get("/calls", { route, provider, key, limit }).then((said) => callsOf(said.data)),
    [route, provider, key, limit],
    { on: ["open"], everyMs: RECORDED_WITHIN_MS },
  );
  const fresh = useFresh([route, provider, key]);
  const rows = useMemo(() => {
    const known = new Map((loaded.value || []).map((one) => [one.id, one]));
    const added = fresh.filter(
      (one) =>
        (known.get(one.id)?.open ?? true) &&
        (!route || one.route === route) &&
        (!key || one.key === key) &&
        (!provider || one.upstream.startsWith(`${provider}/`)),
    );
    for (const one of added) known.delete(one.id);
    return [...added, ...known.values()].filter((one) => !only || trouble(one)).slice(0, Number(limit));
  }, [loaded.value, fresh, only, limit]);
  return html`<${Page} title="Calls" question="What happened to this call?">
    <${InFlight} />
    <form class="filters" onSubmit=${(event) => event.preventDefault()} aria-label="Filters">
      <${Text}
        id="route"
        label="Asked for"
        value=${route}
        placeholder="role:main"
        onInput=${(value) => filter({ route: value })}
      />
      <${Text} id="provider" label="Provider" value=${provider} onInput=${(value) => filter({ provider: value })} />
      <${Text} id="by" label="Key" value=${key} onInput=${(value) => filter({ key: value })} />
      <${Choice}
        id="only"
        label="Which"
        value=${only}
        options=${[
          ["", "all"],
          ["trouble", "with trouble"],
        ]}
        onInput=${(value) => filter({ only: value })}
      />
      <${Choice}
        id="limit"
        label="At most"
        value=${limit}
        options=${SHOWN}
        onInput=${(value) => filter({ limit: value })}
      />
    </form>
    <${Section} title="Latest calls" actions=${html`<span class="quiet" role="status">${rows.length} shown</span>`}>
      <${Loaded} of=${loaded} what="calls"
        >${() =>
          html`<${VirtualTable}
            rows=${rows}
            columns=${COLUMNS}
            label="Calls"
            rowKey=${(one) => one.id}
            empty=${route || provider || key || only ? "No call matches these filters." : html`No call yet. Make one in the <a href=${href("play")}>playground</a>.`}
          />`}<//
      ><//
    >
    ${call && html`<${Call} id=${call} />`}<//
  >`;
}

// Calls that have ended since the page was loaded, newest first.
function useFresh(deps) {
  const [fresh, setFresh] = useState([]);
  useEffect(() => {
    setFresh([]);
    let waiting = [];
    let timer = null;
    const stop = listen((kind, said) => {
      if (kind !== "call") return;
      waiting.push(callOfEvent(said));
      timer ??= setTimeout(() => {
        timer = null;
        const added = waiting.reverse();
        waiting = [];
        setFresh((before) => [...added, ...before].slice(0, 10000));
      }, 400);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, deps);
  return fresh;
}
