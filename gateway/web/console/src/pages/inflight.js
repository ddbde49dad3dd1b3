// Attempts under way, in the worker that answers.
import { html, useEffect, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
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
    ${
      rows.length === 0
        ? html`<p class="empty">No call is under way.</p>`
        : html`<div class="table" tabindex="0" role="region" aria-label="Calls under way">
            <table>
              <thead>
                <tr>
                  <th>Asked for</th>
                  <th>Asked of</th>
                  <th>Key</th>
                  <th class="number">For</th>
                </tr>
              </thead>
              <tbody>
                ${rows.map(
                  (one) =>
                    html`<tr key=${one.attempt}>
                      <td>${one.route}</td>
                      <td class="wrap">${one.upstream}</td>
                      <td>${one.key || "–"}</td>
                      <td class="number ${one.duration_ms > LONG_MS ? "state warn" : ""}">
                        ${ms(one.duration_ms)}${one.duration_ms > LONG_MS ? " ▲ no end yet" : ""}
                      </td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`
    }<//
  >`;
}
