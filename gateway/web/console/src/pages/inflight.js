// Attempts under way, in the worker that answers, each with a way to end it.
import { html, useEffect, useState } from "../lib/ui.js";
import { act, get, inPath } from "../lib/api.js";
import { Section, Failure } from "../lib/parts.js";
import { ms } from "../lib/format.js";

const EVERY_MS = 1500;
// An attempt that runs longer than this hangs, as far as a person is concerned.
const LONG_MS = 30000;

export function InFlight() {
  const [state, setState] = useState({ rows: [], error: null });
  useEffect(() => {
    let timer = null;
    let over = false;
    const look = async () => {
      if (!document.hidden)
        await get("/calls/in-flight").then(
          ({ data }) => !over && setState({ rows: data, error: null }),
          (error) => !over && setState((before) => ({ ...before, error })),
        );
      if (!over) timer = setTimeout(look, EVERY_MS);
    };
    look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, []);
  const { rows, error } = state;
  return html`<${Section} title="Under way" actions=${html`<span class="quiet">${rows.length}</span>`}>
    ${error && html`<${Failure} error=${error} />`}
    ${rows.length === 0 ? html`<p class="empty">No call is under way.</p>` : html`<${Table} rows=${rows} />`}<//
  >`;
}

function Table({ rows }) {
  return html`<div class="table" tabindex="0" role="region" aria-label="Calls under way">
    <table>
      <thead>
        <tr>
          <th>Asked for</th>
          <th>Asked of</th>
          <th>Key</th>
          <th class="number">For</th>
          <th><span class="unseen">Actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${rows.map((one) => html`<${Attempt} ...${one} key=${one.attempt} name=${one.key} />`)}
      </tbody>
    </table>
  </div>`;
}

function Attempt({ attempt, route, upstream, name, duration_ms }) {
  const [state, setState] = useState("");
  const hangs = duration_ms > LONG_MS;
  // The client gets an error in its own dialect, and the connection to the provider is closed.
  const cancel = () => {
    setState("cancelling …");
    act("DELETE", `/calls/in-flight/${inPath(attempt)}`).catch((error) => setState(error.message));
  };
  return html`<tr>
    <td>${route}</td>
    <td class="wrap">${upstream}</td>
    <td>${name || "–"}</td>
    <td class="number ${hangs ? "state warn" : ""}">${ms(duration_ms)}${hangs ? " ▲ no end yet" : ""}</td>
    <td>
      ${state || html`<button type="button" class="danger" aria-label="Cancel the call to ${route}" onClick=${cancel}>Cancel</button>`}
    </td>
  </tr>`;
}
