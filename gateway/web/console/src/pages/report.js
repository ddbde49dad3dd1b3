// The report of an experiment: what each arm came to, with its intervals, and each arm beside the first.
import { html } from "../lib/ui.js";
import { Empty } from "../lib/parts.js";
import { count, percent, span, usd } from "../lib/format.js";

const MEASURES = {
  errors: ["Errors", (value) => `${+(value * 100).toPrecision(3)} %`],
  latency_s: ["Latency", span],
  first_token_s: ["First token", span],
  cost_usd: ["Cost", (value) => usd(value * 1e9)],
  output_tokens: ["Length", (value) => `${+value.toPrecision(3)} tokens`],
  score: ["Score", (value) => String(+value.toPrecision(3))],
};

export function Report({ said }) {
  const { arms, compared, confidence } = said;
  if (!arms.some((one) => one.calls))
    return html`<${Empty}>No call has taken part in this time, so there is nothing to compare.<//>`;
  const shown = Object.entries(MEASURES).filter(([key]) => arms.some((one) => one.measures[key]));
  const others = [...new Set(compared.map((one) => one.arm))];
  return html`<div class="table" tabindex="0" role="region" aria-label="Arms, as they were measured">
      <table>
        <caption>
          Means, with their ${percent(confidence)} confidence intervals
        </caption>
        <thead>
          <tr>
            <th>Arm</th>
            <th class="number">Calls</th>
            ${shown.map(([key, [title]]) => html`<th key=${key} class="number">${title}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${arms.map(
            (arm) =>
              html`<tr key=${arm.name}>
                <td class="wrap">${arm.name}</td>
                <td class="number">
                  ${count(arm.calls)}${arm.left ? html`<br /><span class="quiet">${count(arm.left)} left early</span>` : ""}
                </td>
                ${shown.map(([key, [, words]]) => html`<td key=${key} class="number"><${Measured} of=${arm.measures[key]} words=${words} /></td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${arms
      .filter((arm) => Object.keys(arm.verdicts).length)
      .map(
        (arm) =>
          html`<p key=${arm.name} class="wrap">
            Verdicts on ${arm.name}:
            ${Object.entries(arm.verdicts)
              .map(([word, times]) => `${word} ${count(times)}`)
              .join(", ")}
          </p>`,
      )}
    ${others.map((name) => html`<${Beside} key=${name} name=${name} first=${arms[0].name} of=${compared.filter((one) => one.arm === name)} />`)}
    ${!others.length && html`<p>Not enough calls yet to compare anything.</p>`}
    <p class="quiet">
      No winner is declared. A difference is named only if its interval excludes zero, and all comparisons together have
      a confidence of ${percent(confidence)}. Decide beforehand how many calls you will wait for.
    </p>`;
}

function Measured({ of, words }) {
  if (!of) return "–";
  const between = of.low === null ? "" : `${words(of.low)} … ${words(of.high)}`;
  return html`${words(of.mean)}<br /><span class="quiet">${between}</span>`;
}

// The line is the difference's interval. The mark in its middle is zero: no difference.
function Beside({ name, first, of }) {
  return html`<h3 class="wrap">${name} beside ${first}</h3>
    <ul class="intervals" aria-label="${name} beside ${first}">
      ${of.map((one) => {
        const far = Math.max(Math.abs(one.low), Math.abs(one.high)) || 1;
        const at = (value) => `${(50 + (48 * value) / far).toFixed(1)}%`;
        return html`<li key=${one.measure}>
          <span class="lane interval" aria-hidden="true"
            ><span class="token zero"></span
            >${
              one.low !== null &&
              html`<span
                class="bar ${one.verdict === "undecided" ? "open" : "decided"}"
                style=${{ left: at(one.low), right: `calc(100% - ${at(one.high)})` }}
              ></span>`
            }</span
          ><span>${one.words}</span>
        </li>`;
      })}
    </ul>`;
}
