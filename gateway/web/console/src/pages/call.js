// One call: its attempts as a waterfall, the plan, and the command that makes such a call again.
import { html, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { filter } from "../lib/router.js";
import { curl } from "../lib/calls.js";
import { Plan } from "../lib/plan.js";
import { Code, Copy, Dialog, Loaded, State } from "../lib/parts.js";
import { count, moment, ms, usd } from "../lib/format.js";

export function Call({ id }) {
  const loaded = useLoad(() => get(`/calls/${encodeURIComponent(id)}`), [id]);
  return html`<${Dialog} title="Call ${id}" wide onClose=${() => filter({ call: "" })}>
    <${Loaded} of=${loaded} what="the call"
      >${(said) => html`<${Attempts} attempts=${said.data} /><${Then} ...${said} /><${Again} first=${said.data[0]} />`}<//
    ><//
  >`;
}

function Attempts({ attempts }) {
  const began = attempts[0].began_at;
  const end = Math.max(...attempts.map((one) => (one.began_at - began) * 1000 + (one.duration_ms || 0)), 1);
  const share = (value) => `${((100 * value) / end).toFixed(2)}%`;
  const cost = attempts.reduce((total, one) => total + (one.cost_nanousd || 0), 0);
  const [first] = attempts;
  return html`<p>
      <strong>${first.route}</strong>
      <span class="quiet"
        >${first.endpoint} · ${moment(first.at)} · key ${first.key || "–"} · ${attempts.length}
        ${attempts.length === 1 ? "attempt" : "attempts"} in ${ms(Math.round(end))} · ${usd(cost)}</span
      >
      <${Copy} text=${first.request_id} label="Copy the id" />
    </p>
    <ol class="waterfall" aria-label="Attempts">
      ${attempts.map((one) => {
        const good =
          one.outcome === "ok" || one.outcome === "success" || (one.status >= 200 && one.status < 300 && !one.about);
        return html`<li key=${one.attempt}>
          <div class="waterfall-head">
            <span>${one.provider}/${one.model}</span
            ><${State} is=${one.state === "open" ? "off" : good ? "good" : "bad"}
              >${one.state === "open" ? "under way" : `${one.status || "no answer"} ${one.outcome}`}${one.about ? `, about the ${one.about}` : ""}<//
            >
          </div>
          <div class="lane" aria-hidden="true">
            <span
              class="bar ${good ? "good" : "bad"}"
              style=${{ left: `min(${share((one.began_at - began) * 1000)}, 99.5%)`, width: share(Math.max(one.duration_ms || 0, end / 200)) }}
            ></span>
            ${one.first_token_ms !== null && html`<span class="token" style=${{ left: share((one.began_at - began) * 1000 + one.first_token_ms) }}></span>`}
          </div>
          <p class="quiet">
            began after ${ms(Math.round((one.began_at - began) * 1000))}, took
            ${ms(one.duration_ms)}${one.first_token_ms !== null ? `, first token after ${ms(one.first_token_ms)}` : ""}${" · "}
            ${count(one.input_tokens)} in (${count(one.cached_tokens)} cached), ${count(one.output_tokens)}
            out${one.usage_is_estimate ? ", estimated" : ""} · ${usd(one.cost_nanousd)} ${one.cost_source}
            ${one.provider_id && html` · provider's id <code>${one.provider_id}</code>`}
          </p>
        </li>`;
      })}
    </ol>`;
}

// The plan as it was when the call began, from the memory of the worker that served it.
function Then({ data, plan, why_no_plan }) {
  const asked = new Set(data.map((one) => `${one.provider}/${one.model}`));
  return html`<h3>The plan, as it was then</h3>
    ${
      plan
        ? html`<p class="quiet">
              made at ${moment(plan.at)}${plan.order.length ? `, ordered by ${plan.order.join(", ")}` : ""}, at most
              ${plan.max_attempts} attempts
            </p>
            <${Plan} plan=${plan} asked=${asked} />`
        : html`<p class="quiet">${why_no_plan[0].toUpperCase() + why_no_plan.slice(1)}.</p>`
    }`;
}

function Again({ first }) {
  const [open, setOpen] = useState(false);
  return html`<details open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>What a call to ${first.route} would do now</summary>
      ${open && html`<${Now} name=${first.route} />`}
    </details>
    <h3>Such a call again</h3>
    <${Code} text=${curl(location.origin, { endpoint: first.endpoint, model: first.route })} label="Command" />`;
}

function Now({ name }) {
  const loaded = useLoad(() => get("/plans", { model: name }), [name]);
  return html`<${Loaded} of=${loaded} what="the plan">${({ plan }) => html`<${Plan} plan=${plan} />`}<//>`;
}
