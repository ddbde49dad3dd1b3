// A plan as the gateway explains it: who would be asked, in which order, and why not the others.
import { html } from "./ui.js";
import { State } from "./parts.js";
import { count, percent, span, tokens } from "./format.js";

// A plan of then has no field for what is measured, and `asked` names those that were asked.
export function Plan({ plan, asked = new Set() }) {
  if (!plan.candidates.length && !plan.rejected.length) return html`<p class="empty">Nobody serves this name.</p>`;
  return html`<ol class="plan">
    ${plan.candidates.map(
      (one, place) =>
        html`<li key=${one.upstream}>
          <span class="place">${place + 1}</span>
          <div>
            <strong>${one.label === one.upstream ? one.upstream : `${one.label}`}</strong>
            ${one.label !== one.upstream && html` <span class="quiet">${one.upstream}</span>`}
            ${one.bridge && html` <span class="quiet">translated: ${one.bridge}</span>`}
            ${asked.has(one.upstream) && html`${" "}<${State} is="good">asked<//>`}
            <div class="quiet">
              ${[
                one.why,
                one.wait_s > 0 && `after a wait of ${span(one.wait_s)}`,
                one.success < 1 && `${percent(one.success)} succeed`,
                one.first_token_s && `first token ${span(one.first_token_s)}`,
                !one.free &&
                  one.price_usd_per_mtok &&
                  `$${one.price_usd_per_mtok.input} in, $${one.price_usd_per_mtok.output} out per million`,
                one.free && "free",
                one.context_tokens && `${tokens(one.context_tokens)} context`,
                one.breaker && one.breaker !== "closed" && `breaker ${one.breaker}`,
                ...(one.quota || []).map((limit) => `${count(Math.floor(limit.left))} ${limit.unit} left`),
              ]
                .filter(Boolean)
                .join(" · ")}
            </div>
          </div>
        </li>`,
    )}
    ${plan.rejected.map(
      (one) =>
        html`<li key=${`not ${one.upstream}`} class="rejected">
          <span class="place" aria-hidden="true">–</span>
          <div>${one.upstream} <${State} is="off">${one.reason}<//></div>
        </li>`,
    )}
  </ol>`;
}
