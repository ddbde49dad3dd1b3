// What providers themselves say: what is left with them, and what they bill beside what is booked here.
import { html, useState } from "../lib/ui.js";
import { act, get } from "../lib/api.js";
import { useLoad, useNow } from "../lib/load.js";
import { Section, Loaded, State, Empty, Failure } from "../lib/parts.js";
import { ago, count, usd } from "../lib/format.js";

export function Balances() {
  const now = useNow(10000);
  const loaded = useLoad(() => get("/accounts").then((said) => said.data.filter((one) => one.balance_at !== null)));
  return html`<${Section} title="Balances"
    ><${Loaded} of=${loaded} what="balances"
      >${(accounts) =>
        accounts.length === 0
          ? html`<${Empty}>None of your providers tells its balance.<//>`
          : html` <ul class="strip">
              ${accounts.map(
                (one) =>
                  html`<li class="card" key=${one.name}>
                    <div class="card-head">
                      <span>${one.name}</span><span class="quiet">${ago(one.balance_at, now)}</span>
                    </div>
                    ${one.balance_error && html`<${State} is="warn">${one.balance_error}<//>`}
                    <dl class="facts">
                      ${
                        one.remaining_nanousd !== null &&
                        html`<div>
                          <dt>left</dt>
                          <dd>${usd(one.remaining_nanousd)}</dd>
                        </div>`
                      }${
                        one.used_today_nanousd !== null &&
                        html`<div>
                          <dt>used today</dt>
                          <dd>${usd(one.used_today_nanousd)}</dd>
                        </div>`
                      }
                      ${one.funds.map(
                        (each) =>
                          html`<div>
                            <dt>funds</dt>
                            <dd>${(each.nano / 1e9).toFixed(2)} ${each.currency}</dd>
                          </div>`,
                      )}
                      ${
                        one.free_requests_left !== null &&
                        html`<div>
                          <dt>free today</dt>
                          <dd>${count(one.free_requests_left)} of ${count(one.free_requests_limit)}</dd>
                        </div>`
                      }
                    </dl>
                  </li>`,
              )}
            </ul>`}<//
    ><//
  >`;
}

const signed = (nano) => (nano === null ? "–" : nano > 0 ? `+${usd(nano)}` : nano < 0 ? `-${usd(-nano)}` : "0");
const VERDICTS = {
  agrees: ["good", "agrees"],
  drift: ["bad", "drift"],
  "not final": ["off", "not final yet"],
  "not told": ["off", "not told by the provider"],
  "not whole": ["off", "the ledger began on this day"],
};

// Drift is what a provider bills less what is booked: the same comparison as `gateway usage --reconcile`.
export function Bills() {
  const now = useNow(10000);
  const loaded = useLoad(() => get("/reconciliation").then((said) => said.data));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const ask = async () => {
    setBusy(true);
    await act("POST", "/reconciliation").then(() => setError(null), setError);
    setBusy(false);
    loaded.again();
  };
  return html`<${Section}
    title="Bills and drift"
    actions=${html`<button type="button" disabled=${busy} onClick=${ask}>${busy ? "Asking providers …" : "Compare now"}</button>`}
  >
    ${error && html`<${Failure} error=${error} again=${ask} />`}
    <${Loaded} of=${loaded} what="bills"
      >${(accounts) =>
        accounts.length === 0
          ? html`<${Empty}
              >Nothing was compared yet. Where a provider can be asked for its bill, the gateway compares every hour.<//
            >`
          : html`<ul class="strip wide">
              ${accounts.map((one) => html`<${Account} key=${one.account} one=${one} now=${now} />`)}
            </ul>`}<//
    ><//
  >`;
}

function Account({ one, now }) {
  const final = one.days.filter((day) => ["agrees", "drift"].includes(day.verdict));
  return html`<li class="card">
    <div class="card-head"><span>${one.account}</span><span class="quiet">${ago(one.at, now)}</span></div>
    ${
      one.error
        ? html`<${State} is="warn">${one.error}<//>`
        : one.not_compared
          ? html`<${State} is="off">not compared: ${one.not_compared}<//>`
          : one.drifts
            ? html`<${State} is="bad">drift: ${signed(one.drift_nanousd)}<//>`
            : final.length
              ? html`<${State} is="good">agrees with what is booked<//>`
              : html`<${State} is="off">no day is final yet<//>`
    }
    <p class="quiet">${usd(one.booked_nanousd)} booked in the last 7 days</p>
    ${
      one.days.some((day) => day.billed_nanousd !== null) &&
      html`<div class="table" tabindex="0" role="region" aria-label="Bills of ${one.account}">
        <table>
          <thead>
            <tr>
              <th>Day</th>
              <th class="number">Booked</th>
              <th class="number">Billed</th>
              <th class="number">Drift</th>
              <th>Verdict</th>
            </tr>
          </thead>
          <tbody>
            ${one.days.map((day) => {
              const [is, words] = VERDICTS[day.verdict] || ["off", day.verdict];
              return html`<tr key=${day.day}>
                <td>${day.day}</td>
                <td class="number">${usd(day.booked_nanousd)}</td>
                <td class="number">${usd(day.billed_nanousd)}</td>
                <td class="number">${signed(day.drift_nanousd)}</td>
                <td><${State} is=${is}>${words}<//> <span class="quiet">${why(day)}</span></td>
              </tr>`;
            })}
          </tbody>
        </table>
      </div>`
    }
  </li>`;
}

// What may explain a drift.
const why = (day) =>
  [
    day.unpriced > 0 && `${count(day.unpriced)} without a price`,
    day.estimated > 0 && `${count(day.estimated)} estimated`,
    day.requests !== null && `${count(day.attempts)} of ${count(day.requests)} requests came through here`,
  ]
    .filter(Boolean)
    .join(", ");
