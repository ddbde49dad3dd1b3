// Experiments: what is tried with real calls, what the ledger says of it, and the form that begins, changes and ends one.
import { html } from "../lib/ui.js";
import { get, inPath } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { filter, href, query } from "../lib/router.js";
import { Made, useReview } from "../lib/change.js";
import { parametersOf, whole } from "../lib/trial.js";
import { Page, Section, Loaded, State, Empty, Choice } from "../lib/parts.js";
import { percent } from "../lib/format.js";
import { ExperimentForm } from "./experiment.js";
import { Report } from "./report.js";

const SINCE = [
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
];

// An experiment that has left the configuration is known by the arms of its calls.
const load = () =>
  Promise.all([
    get("/experiments"),
    get("/arms"),
    get("/roles"),
    get("/aliases"),
  ]).then(([experiments, arms, roles, aliases]) => {
    const named = new Set(experiments.data.map((one) => one.name));
    const tried = arms.data.map((one) => one.split("/")[0]);
    return {
      experiments: experiments.data.map((one) => ({ name: one.name, ...whole(one.value) })),
      version: experiments.version,
      ended: [...new Set(tried)].filter((one) => !named.has(one)),
      names: [...roles.data.map((one) => `role:${one.name}`), ...aliases.data.map((one) => one.name)],
    };
  });

export function Experiments() {
  const loaded = useLoad(load, [], { on: ["reload"] });
  const { name, add } = query.value;
  const [dialog, propose, made] = useReview((_, change) => {
    filter({ add: "", name: change.name });
    loaded.again();
  });
  return html`<${Page}
    title="Experiments"
    question="Which model or parameter does better with real calls?"
    actions=${html`<a class="button main" href=${href("experiments", { add: "yes" })}>Begin an experiment</a>`}
  >
    <${Made} made=${made} />
    <${Loaded} of=${loaded} what="experiments"
      >${({ experiments, version, ended, names }) => {
        // One that has just ended is asked for by its name, though the ledger may learn of its last calls a second later.
        const named = [...experiments.map((one) => one.name), ...ended];
        const gone = name && !add && !named.includes(name) ? [...ended, name] : ended;
        const known = [...experiments, ...gone.map((one) => ({ name: one, ended: true }))];
        const chosen = add ? null : known.find((one) => one.name === name) || known[0];
        return html`<div class="split">
          <ul class="picker" aria-label="Experiments">
            ${known.map(
              (one) =>
                html`<li key=${one.name}>
                  <a href=${href("experiments", { name: one.name })} aria-current=${one === chosen ? "true" : undefined}
                    ><strong>${one.name}</strong
                    ><span class="quiet">${one.ended ? "ended; its report stays" : `on ${one.on}`}</span></a
                  >
                </li>`,
            )}
          </ul>
          <div>
            ${
              add
                ? html`<${ExperimentForm} key="new" ...${{ version, names, propose }} />`
                : chosen
                  ? html`<${Chosen} key=${`${chosen.name}${version}`} one=${chosen} ...${{ version, names, propose }} />`
                  : html`<${Empty}
                      >There is no experiment yet. One divides the calls of a role or alias among models or parameters,
                      or copies some of them to a model that is only tried.<//
                    >`
            }
          </div>
        </div>`;
      }}<//
    >${dialog}<//
  >`;
}

function Chosen({ one, version, names, propose }) {
  const { since = "30d" } = query.value;
  const loaded = useLoad(() => get(`/experiments/${inPath(one.name)}/report`, { since }), [one.name, since]);
  return html`<${Section}
      title=${one.name}
      actions=${html`<${State} is=${one.ended ? "off" : "good"}>${one.ended ? "ended" : "under way"}<//>`}
      >${!one.ended && html`<${Arms} one=${one} />`}
    <//>
    <${Section} title="Report">
      <form class="filters" onSubmit=${(event) => event.preventDefault()} aria-label="Period">
        <${Choice}
          id="report-since"
          label="Since"
          value=${since}
          options=${SINCE}
          onInput=${(value) => filter({ since: value })}
        />
      </form>
      <${Loaded} of=${loaded} what="the report">${(said) => html`<${Report} said=${said} />`}<//>
    <//>
    ${!one.ended && html`<${ExperimentForm} before=${one} ...${{ version, names, propose }} />`}`;
}

const MODEL = "the usual models";

function Arms({ one }) {
  const total = one.arms.reduce((sum, arm) => sum + arm.weight, 0);
  return html`<p class="quiet">
      ${one.mirror ? "Copies of " : ""}${percent(one.share)} of the calls to ${one.on}
      ${one.mirror ? "go to the mirror; clients get the usual answers" : "take part"}. What stays with one arm: the
      ${one.sticky}.
    </p>
    <div class="table" tabindex="0" role="region" aria-label="Arms of ${one.name}">
      <table>
        <thead>
          <tr>
            <th>Arm</th>
            <th>Asks</th>
            <th>Parameters</th>
            <th class="number">Share</th>
          </tr>
        </thead>
        <tbody>
          ${
            one.mirror
              ? html`<tr>
                    <td>original</td>
                    <td>${MODEL}</td>
                    <td>–</td>
                    <td class="number">${percent(1)}</td>
                  </tr>
                  <tr>
                    <td>copy</td>
                    <td class="wrap">${one.mirror.model || MODEL}</td>
                    <td class="wrap">${parametersOf(one.mirror) || "–"}</td>
                    <td class="number">${percent(one.share)}, at most ${one.mirror.at_once} at once</td>
                  </tr>`
              : one.arms.map(
                  (arm) =>
                    html`<tr key=${arm.name}>
                      <td class="wrap">${arm.name}</td>
                      <td class="wrap">${arm.model || MODEL}</td>
                      <td class="wrap">${parametersOf(arm) || "–"}</td>
                      <td class="number">${total ? percent((one.share * arm.weight) / total) : "–"}</td>
                    </tr>`,
                )
          }
        </tbody>
      </table>
    </div>`;
}
