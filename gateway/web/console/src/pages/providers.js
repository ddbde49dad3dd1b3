// Providers: their state, their settings, their test, and the switch.
import { html, useState } from "../lib/ui.js";
import { act, get, inPath } from "../lib/api.js";
import { useLoad, useNow } from "../lib/load.js";
import { filter, href, query } from "../lib/router.js";
import { Heard, standing, loadStandings } from "../lib/standing.js";
import { Made, useReview } from "../lib/change.js";
import { Page, Loaded, State, Empty, Failure } from "../lib/parts.js";
import { ago, count, ms } from "../lib/format.js";
import { ProviderForm } from "./provider.js";

const load = () =>
  Promise.all([loadStandings(), get("/kinds")]).then(([standings, kinds]) => ({ ...standings, kinds: kinds.data }));

export function Providers() {
  const loaded = useLoad(load, [], { on: ["turn", "reload", "call"], everyMs: 3000 });
  const { name, add } = query.value;
  const [dialog, propose, made] = useReview((_, change) => {
    filter({ add: "", name: change.name ?? name });
    loaded.again();
  });
  return html`<${Page}
    title="Providers"
    question="Where do calls go, and with which key?"
    actions=${html`<a class="button main" href=${href("providers", { add: "yes" })}>Add a provider</a>`}
  >
    <${Made} made=${made} />
    <${Loaded} of=${loaded} what="providers"
      >${({ providers, kinds, version }) => {
        const chosen = add ? null : providers.find((one) => one.name === name) || providers[0];
        return html`<div class="split">
          <ul class="picker" aria-label="Providers">
            ${providers.map((one) => {
              const { is, words } = standing(one);
              return html`<li key=${one.name}>
                <a href=${href("providers", { name: one.name })} aria-current=${one === chosen ? "true" : undefined}
                  ><strong>${one.name}</strong><${State} is=${is}>${words}<//></a
                >
              </li>`;
            })}
          </ul>
          <div class="card">
            ${
              add
                ? html`<${ProviderForm} key="new" kinds=${kinds} version=${version} propose=${propose} />`
                : chosen
                  ? html`<${Chosen}
                      key=${chosen.name}
                      provider=${chosen}
                      kinds=${kinds}
                      version=${version}
                      propose=${propose}
                    />`
                  : html`<${Empty}
                      >There is no provider yet. Add one, or see the
                      <a href=${href("start")}>three ways to begin</a>.<//
                    >`
            }
          </div>
        </div>`;
      }}<//
    >${dialog}<//
  >`;
}

function Chosen({ provider, kinds, version, propose }) {
  const [error, setError] = useState(null);
  const now = useNow(10000);
  const change = (verb, method, path) =>
    propose({
      title: `${verb} ${provider.name}`,
      method,
      path,
      version,
      name: verb === "Remove" ? "" : provider.name,
    }).then(() => setError(null), setError);
  const place = `/providers/${inPath(provider.name)}`;
  const builtIn = provider.set_in === "built_in";
  return html`<div class="block-head">
      <h2>${provider.name}</h2>
      <div class="actions">
        ${
          !builtIn &&
          (provider.enabled
            ? html`<button
                type="button"
                onClick=${() => change("Switch off", "POST", `/providers/${encodeURIComponent(provider.name)}/disable`)}
              >
                Switch off
              </button>`
            : html`<button
                type="button"
                class="main"
                onClick=${() => change("Activate", "POST", `/providers/${encodeURIComponent(provider.name)}/enable`)}
              >
                Activate
              </button>`)
        }
        ${!builtIn && html`<button type="button" class="danger" onClick=${() => change("Remove", "DELETE", place)}>Remove</button>`}
      </div>
    </div>
    <p class="quiet">
      ${provider.kind} · ${provider.base_url} · ${provider.has_api_key ? "has a key" : "no key"} · set in
      ${{ file: "gateway.yaml", run_time: "changes at run time", both: "gateway.yaml and changes at run time", built_in: "the gateway itself" }[provider.set_in]}${" · "}
      ${count(provider.models_known)} models,
      ${provider.refreshed_at ? `listed ${ago(provider.refreshed_at, now)}` : "never listed"}
    </p>
    <dl class="facts" aria-label="What was heard of ${provider.name}"><${Heard} provider=${provider} now=${now} /></dl>
    ${error && html`<${Failure} error=${error} />`}
    <${Test} provider=${provider} />
    ${!builtIn && html`<${ProviderForm} provider=${provider} kinds=${kinds} version=${version} propose=${propose} />`}`;
}

const STEPS = {
  key: "A key is there",
  reachable: "The address answers",
  key_accepted: "The key is accepted",
  models: "Models are listed",
};

// The gateway's own test: it costs nothing, since no model is called.
function Test({ provider }) {
  const [state, setState] = useState({ busy: false, said: null, error: null });
  const test = async () => {
    setState({ busy: true, said: null, error: null });
    await act("POST", `/providers/${encodeURIComponent(provider.name)}/test`).then(
      (said) => setState({ busy: false, said, error: null }),
      (error) => setState({ busy: false, said: null, error }),
    );
  };
  const { busy, said, error } = state;
  return html`<div class="test">
    <div class="actions">
      <button type="button" disabled=${busy} onClick=${test}>Test the connection</button>
      ${busy && html`<span class="quiet" role="status">Asking ${provider.name}; a provider that hangs is given up after some seconds …</span>`}
      ${said && html`<${State} is=${said.ok ? "good" : "bad"}>${said.ok ? `It works, in ${ms(said.latency_ms)}` : "It does not work"}<//>`}
    </div>
    ${error && html`<${Failure} error=${error} again=${test} />`}
    ${
      said &&
      html`<ol class="steps">
          ${said.steps.map((one) => html`<li key=${one.step}><${State} is=${one.ok === null ? "off" : one.ok ? "good" : "bad"}>${STEPS[one.step]}<//> <span class="quiet">${one.detail}</span></li>`)}
        </ol>
        ${
          said.models.length > 0 &&
          html`<div class="field">
            <label for="models-of-test">Its ${count(said.models.length)} models</label>
            <select id="models-of-test">
              ${said.models.map((one) => html`<option>${one}</option>`)}
            </select>
          </div>`
        }`
    }
  </div>`;
}
