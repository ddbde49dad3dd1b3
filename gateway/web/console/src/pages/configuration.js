// The configuration: in effect, what was changed at run time, by whom, and the way back.
import { html, useState } from "../lib/ui.js";
import { act, get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { filter, query } from "../lib/router.js";
import { Made, useReview } from "../lib/change.js";
import { Page, Section, Loaded, Empty, Code, Diff, Failure } from "../lib/parts.js";
import { moment } from "../lib/format.js";

const VIEWS = [
  ["", "Changes at run time"],
  ["effective", "In effect"],
  ["history", "History"],
];

const load = () =>
  Promise.all([get("/config"), get("/config/diff"), get("/config/export"), get("/history", { limit: 200 })]).then(
    ([config, difference, whole, history]) => ({ config, difference, whole, history: history.data }),
  );

export function Configuration() {
  const { view = "" } = query.value;
  const loaded = useLoad(load, [], { on: ["reload"] });
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [dialog, propose, made] = useReview(() => loaded.again());
  const reload = async () => {
    setBusy(true);
    await act("POST", "/reload").then((said) => setError(said.error ? { message: said.error } : null), setError);
    setBusy(false);
    loaded.again();
  };
  const revert = (paths, version) =>
    propose({
      title: paths.length === 1 ? `Revert ${paths[0]}` : "Revert every change",
      method: "POST",
      path: "/config/revert",
      body: { paths },
      version,
    }).then(() => setError(null), setError);
  return html`<${Page}
    title="Configuration"
    question="What is in effect, who changed it, and how do I get back?"
    actions=${html`<button type="button" disabled=${busy} onClick=${reload}>${busy ? "Reading …" : "Read the files again"}</button>`}
  >
    <${Made} made=${made} />${error && html`<${Failure} error=${error} />`}
    <${Loaded} of=${loaded} what="the configuration"
      >${({ config, difference, whole, history }) =>
        html` <p class="quiet">${config.source}, version ${config.running_version} in use</p>
          ${
            config.error &&
            html`<div class="notice bad" role="alert">
              <strong>The files have mistakes, so version ${config.running_version} stays in use.</strong>
              <pre>${config.error}</pre>
            </div>`
          }
          ${config.waits.map((one) => html`<div class="notice" key=${one}>Waits for a restart: ${one}</div>`)}
          ${difference.warnings.map((one) => html`<div class="notice" key=${one}>${one}</div>`)}
          <div class="tabs" role="group" aria-label="View">
            ${VIEWS.map(([key, title]) => html`<button type="button" aria-pressed=${view === key ? "true" : "false"} onClick=${() => filter({ view: key })}>${title}</button>`)}
          </div>
          ${view === "" && html`<${Overlay} difference=${difference} revert=${revert} />`}
          ${
            view === "effective" &&
            html`<${Section} title="One gateway.yaml with all of it"
              ><p class="quiet">Secrets are references to variables, or masked.</p>
              <${Code} text=${whole.yaml} label="Configuration"
            /><//>`
          }
          ${view === "history" && html`<${History} history=${history} />`}`}<//
    >${dialog}<//
  >`;
}

function Overlay({ difference, revert }) {
  const { entries, diff, version } = difference;
  if (!entries.length) return html`<${Empty}>Nothing was changed at run time: the file says it all.<//>`;
  return html`<${Section}
    title="${entries.length} ${entries.length === 1 ? "entry differs" : "entries differ"} from the file"
    actions=${html`<button
      type="button"
      class="danger"
      onClick=${() =>
        revert(
          entries.map((one) => one.path),
          version,
        )}
    >
      Revert all
    </button>`}
  >
    <ul class="plain-list">
      ${entries.map(
        (one) =>
          html`<li key=${one.path}>
            <span
              ><code>${one.path}</code>
              <span class="quiet">${one.value === null ? "is removed" : JSON.stringify(one.value)}</span></span
            ><button type="button" aria-label="Revert ${one.path}" onClick=${() => revert([one.path], version)}>
              Revert
            </button>
          </li>`,
      )}
    </ul>
    <${Diff} text=${diff}
  /><//>`;
}

function History({ history }) {
  if (!history.length) return html`<${Empty}>Nobody has changed anything yet.<//>`;
  return html`<ol class="history">
    ${history.map(
      (one) =>
        html`<li key=${`${one.at}${one.version}`}>
          <p><strong>${moment(one.at)}</strong> <span class="quiet">${one.by}, by ${one.via}</span></p>
          <ul>
            ${(one.steps || []).map((step) => html`<${Step} ...${step} />`)}
          </ul>
        </li>`,
    )}
  </ol>`;
}

function Step({ path, action, before, after }) {
  const said = [
    before === undefined ? "" : `from ${JSON.stringify(before)}`,
    after === undefined ? "" : `to ${JSON.stringify(after)}`,
  ];
  return html`<li><code>${path}</code> ${action} <span class="quiet">${said.filter(Boolean).join(" ")}</span></li>`;
}
