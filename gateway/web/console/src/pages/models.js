// Models: those of the configuration and those that providers list, found by filters, and promoted to an alias.
import { html, useState } from "../lib/ui.js";
import { act, get, inPath } from "../lib/api.js";
import { useLoad, useNow } from "../lib/load.js";
import { filter, href, query } from "../lib/router.js";
import { Made, mistakes, useReview } from "../lib/change.js";
import { VirtualTable } from "../lib/virtual.js";
import { Page, Section, Loaded, State, Text, Choice, Dialog, Failure } from "../lib/parts.js";
import { ago, count, perMtok, tokens } from "../lib/format.js";

const NEEDS = ["tools", "vision", "json_schema", "reasoning", "audio", "embeddings"];

export function Models() {
  const { search = "", provider = "", needs = "", free = "", pool = "", ending = "", promote } = query.value;
  const loaded = useLoad(
    () => get("/models", { search, provider, needs, free, pool, ending }),
    [search, provider, needs, free, pool, ending],
    { on: ["reload"] },
  );
  const named = useLoad(() => get("/providers"));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [dialog, propose, made] = useReview(() => {
    filter({ promote: "" });
    loaded.again();
  });
  const now = useNow(10000);
  const refresh = async () => {
    setBusy(true);
    await act("POST", "/models/refresh").then(() => setError(null), setError);
    setBusy(false);
    loaded.again();
  };
  const columns = [
    { title: "Model", width: "minmax(14rem, 2fr)", of: (one) => html`${one.model} <${Ends} of=${one} />` },
    {
      title: "At",
      width: "minmax(8rem, 1.2fr)",
      of: (one) => one.upstreams.map((each) => each.split("/")[0]).join(", "),
    },
    { title: "Known from", width: "7rem", of: (one) => (one.curated ? "configuration" : "a list") },
    {
      title: "In, per million",
      width: "8.5rem",
      number: true,
      of: (one) => (one.free ? "free" : perMtok(one.input_nanousd_per_mtok)),
    },
    {
      title: "Out",
      width: "5rem",
      number: true,
      of: (one) => (one.free ? "free" : perMtok(one.output_nanousd_per_mtok)),
    },
    { title: "Context", width: "5rem", number: true, of: (one) => tokens(one.context_tokens) },
    { title: "Can", of: (one) => one.capabilities.join(", ") || "–" },
    { title: "Used by", of: (one) => one.used_by.join(", ") || "–" },
    {
      title: "",
      width: "6rem",
      of: (one) =>
        html`<a href=${href("models", { ...query.value, promote: one.upstreams[0] })} aria-label="Promote ${one.model}"
          >Promote</a
        >`,
    },
  ];
  return html`<${Page}
    title="Models"
    question="Which models are there, what can they do, and what do they cost?"
    actions=${html`<button type="button" disabled=${busy} onClick=${refresh}>${busy ? "Asking all providers …" : "Ask providers again"}</button>`}
  >
    <${Made} made=${made} />${error && html`<${Failure} error=${error} again=${refresh} />`}
    <form class="filters" onSubmit=${(event) => event.preventDefault()} aria-label="Filters">
      <${Text}
        id="search"
        label="Search"
        type="search"
        value=${search}
        onInput=${(value) => filter({ search: value })}
      />
      <${Choice}
        id="provider"
        label="Provider"
        value=${provider}
        options=${[["", "all"], ...(named.value?.data || []).map((one) => one.name)]}
        onInput=${(value) => filter({ provider: value })}
      />
      <${Choice}
        id="needs"
        label="Can"
        value=${needs}
        options=${[["", "anything"], ...NEEDS]}
        onInput=${(value) => filter({ needs: value })}
      />
      <${Choice}
        id="free"
        label="Price"
        value=${free}
        options=${[
          ["", "any"],
          ["true", "free"],
        ]}
        onInput=${(value) => filter({ free: value })}
      />
      <${Choice}
        id="pool"
        label="Known from"
        value=${pool}
        options=${[
          ["", "anywhere"],
          ["curated", "configuration"],
          ["discovered", "providers' lists"],
        ]}
        onInput=${(value) => filter({ pool: value })}
      />
      <${Choice}
        id="ending"
        label="State"
        value=${ending}
        options=${[
          ["", "any"],
          ["true", "ending or gone"],
        ]}
        onInput=${(value) => filter({ ending: value })}
      />
    </form>
    <${Loaded} of=${loaded} what="models"
      >${(said) => {
        const rows = [...said.curated.map((one) => ({ ...one, curated: true })), ...said.discovered];
        const lists = Object.entries(said.refreshed);
        return html`<${Section}
          title="${count(rows.length)} ${rows.length === 1 ? "model" : "models"}"
          actions=${html`<span class="quiet" role="status">${count(said.curated.length)} in the configuration, ${count(said.discovered.length)} in lists</span>`}
        >
          ${lists.filter(([, one]) => one.error).map(([name, one]) => html`<div class="notice" key=${name}>${name} could not be asked ${ago(one.at, now)}: ${one.error}</div>`)}
          <${Endings} of=${said.curated} />
          <${VirtualTable}
            rows=${rows}
            columns=${columns}
            label="Models"
            rowKey=${(one) => `${one.curated}${one.model}${one.upstreams[0]}`}
            empty="No model matches these filters."
          />
          <p class="quiet">${lists.map(([name, one]) => `${name}: listed ${ago(one.at, now)}`).join(" · ")}</p><//
        >`;
      }}<//
    >
    ${promote && !dialog && html`<${Promote} upstream=${promote} propose=${propose} />`}${dialog}<//
  >`;
}

const Ends = ({ of }) => of.endings.length > 0 && html`<${State} is="warn">${of.endings[0].words}<//>`;

// What the configuration names, and its provider is going to retire or has taken out of its list.
function Endings({ of }) {
  const ending = of.flatMap((one) => one.endings.map((each) => ({ ...each, users: one.used_by })));
  if (!ending.length) return null;
  return html`<div class="notice" role="status">
    <strong>Models of the configuration that end:</strong>
    <ul>
      ${ending.map(
        (one) =>
          html`<li key=${one.upstream}>
            ${one.upstream}: ${one.words}${one.users.length ? ` · used by ${one.users.join(", ")}` : ""}
          </li>`,
      )}
    </ul>
  </div>`;
}

function Promote({ upstream, propose }) {
  const [name, setName] = useState(
    upstream
      .split("/")
      .at(-1)
      .replace(/[^\w.-]+/g, "-"),
  );
  const [wrong, setWrong] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    const { version } = await get("/config");
    await propose({
      title: `Promote ${upstream}`,
      method: "PUT",
      path: `/aliases/${inPath(name)}`,
      body: upstream,
      version,
    }).catch((error) => setWrong({ name: Object.values(mistakes(error))[0] }));
  };
  return html`<${Dialog} title="Promote ${upstream}" onClose=${() => filter({ promote: "" })}
    ><form onSubmit=${submit}>
      <p>
        An alias is a short name in the configuration. Roles and clients can use it, and it stays when the provider's
        list changes.
      </p>
      <${Text} id="alias" label="Alias" required value=${name} onInput=${setName} error=${wrong.name} />
      <div class="dialog-foot"><button class="main" disabled=${!name}>Review the change</button></div>
    </form><//
  >`;
}
