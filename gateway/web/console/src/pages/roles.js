// Who does each job? Roles with their live plan; a change of a role is compared before it is made.
import { html, useState } from "../lib/ui.js";
import { get, inPath } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { filter, href, query } from "../lib/router.js";
import { Made, mistakes, useReview } from "../lib/change.js";
import { OrderedList } from "../lib/order.js";
import { Plan } from "../lib/plan.js";
import { Switch } from "./switch.js";
import { Page, Section, Loaded, State, Empty, Failure, Field, Text, Choice } from "../lib/parts.js";

const NEEDS = ["tools", "vision", "json_schema", "reasoning", "audio", "embeddings"];

const load = () =>
  Promise.all([get("/roles"), get("/aliases"), get("/presets"), get("/status")]).then(([roles, aliases, presets, status]) => ({
    roles: roles.data,
    serving: new Map(status.roles.map((one) => [one.role, one.serves])),
    version: roles.version,
    aliases: aliases.data,
    presets: presets.data,
  }));

// A role may be written short: one target, or a list of them.
const whole = (value) =>
  typeof value === "string"
    ? { models: [value] }
    : Array.isArray(value)
      ? { models: value }
      : { ...value, models: [value.models].flat() };
// A target may be a mapping too; its text is what is moved.
const textOf = (target) => (typeof target === "string" ? target : target.model);

export function Roles() {
  const loaded = useLoad(load, [], { on: ["reload", "turn"] });
  const { name, add } = query.value;
  const [dialog, propose, made] = useReview((_, change) => {
    filter({ add: "", name: change.name });
    loaded.again();
  });
  return html`<${Page}
    title="Roles"
    question="Who does each job, and why not the others?"
    actions=${html`<a class="button main" href=${href("roles", { add: "yes" })}>Add a role</a>`}
  >
    <${Made} made=${made} />
    <${Loaded} of=${loaded} what="roles"
      >${({ roles, serving, version, aliases, presets }) => {
        const chosen = add ? null : roles.find((one) => one.name === name) || roles[0];
        return html`<div class="split">
          <ul class="picker" aria-label="Roles">
            ${roles.map(
              (one) =>
                html`<li key=${one.name}>
                  <a href=${href("roles", { name: one.name })} aria-current=${one === chosen ? "true" : undefined}
                    ><strong>${one.name}</strong
                    ><span class="quiet">${whole(one.value).models.map(textOf).join(", ")}</span
                    ><${State} is=${serving.get(`role:${one.name}`) ? "good" : "bad"}
                      >${serving.get(`role:${one.name}`) || "nobody serves it"}<//
                    ></a
                  >
                </li>`,
            )}
          </ul>
          <div>
            ${
              add || chosen
                ? html`<${Role}
                    key=${add ? "new" : `${chosen.name}${version}`}
                    role=${chosen}
                    ...${{ version, aliases, presets, propose }}
                  />`
                : html`<${Empty}
                    >There is no role yet. A role names a job, such as memory or vision, and the models that may do
                    it.<//
                  >`
            }
          </div>
        </div>`;
      }}<//
    >${dialog}<//
  >`;
}

function Role({ role, version, aliases, presets, propose }) {
  const before = role ? whole(role.value) : { models: [] };
  const [name, setName] = useState(role?.name || "");
  const [models, setModels] = useState(before.models);
  const [more, setMore] = useState("");
  const [needs, setNeeds] = useState(before.needs ? [before.needs].flat() : []);
  const [order, setOrder] = useState([before.order || []].flat().join(", "));
  const [params, setParams] = useState(
    before.params === undefined
      ? ""
      : typeof before.params === "string"
        ? before.params
        : JSON.stringify(before.params),
  );
  const [wrong, setWrong] = useState({});
  const known = new Map(aliases.map((one) => [one.name, typeof one.value === "string" ? one.value : one.value.model]));
  const preset = presets.some((one) => one.name === params);

  const submit = async (event) => {
    event.preventDefault();
    setWrong({});
    const { needs: _, order: __, params: ___, ...rest } = before;
    const body = { ...rest, models };
    if (needs.length) body.needs = needs;
    if (order.trim())
      body.order = order
        .split(",")
        .map((one) => one.trim())
        .filter(Boolean);
    if (params) {
      try {
        body.params = preset ? params : JSON.parse(params);
      } catch {
        return setWrong({ params: 'this is neither a preset nor JSON; write {"temperature": 0.2}' });
      }
    }
    return propose({
      title: role ? `Change the role ${name}` : `Add the role ${name}`,
      method: "PUT",
      path: `/roles/${inPath(name)}`,
      body,
      version,
      name,
    }).catch((error) => setWrong(mistakes(error)));
  };
  const add = () => {
    if (more && !models.some((one) => textOf(one) === more)) setModels([...models, more]);
    setMore("");
  };
  const labels = labelsOf(models);
  const inOrder = (texts) => setModels(texts.map((text) => models[labels.indexOf(text)]));
  const toggle = (need) => setNeeds(needs.includes(need) ? needs.filter((one) => one !== need) : [...needs, need]);
  const remove = () =>
    propose({
      title: `Remove the role ${name}`,
      method: "DELETE",
      path: `/roles/${inPath(name)}`,
      version,
      name: "",
    }).catch((error) => setWrong(mistakes(error)));
  const beside = new Set(["name", "models", "order", "params", "needs"]);
  return html`<div class="halves">
    <form class="card" onSubmit=${submit} aria-label=${role ? `Role ${name}` : "New role"}>
      ${role ? html`<h2>${name}</h2>` : html`<${Name} value=${name} onInput=${setName} error=${wrong.name} />`}
      <${OrderedList}
        items=${labels}
        label="Models, the preferred first"
        onOrder=${inOrder}
        describe=${(one) => known.get(one)}
      />
      <div class="add">
        <${Text}
          id="role-more"
          label="Add a model"
          value=${more}
          onInput=${setMore}
          list="role-names"
          placeholder="alias or provider/model"
          error=${wrong.models}
        /><button type="button" disabled=${!more} onClick=${add}>Add</button>
      </div>
      <datalist id="role-names">${[...known].map(([one, to]) => html`<option value=${one}>${to}</option>`)}</datalist>
      <fieldset>
        <legend>What every model must be able to do</legend>
        ${NEEDS.map((one) => html`<label class="check"><input type="checkbox" checked=${needs.includes(one)} onChange=${() => toggle(one)} />${one.replace("_", " ")}</label>`)}
      </fieldset>
      <${Text}
        id="role-order"
        label="Policy"
        value=${order}
        onInput=${setOrder}
        error=${wrong.order}
        hint="listed, free, cheapest, fastest, healthiest, local, weighted, sticky, strongest; several with commas"
      />
      <${Choice}
        id="role-preset"
        label="Preset"
        value=${preset ? params : ""}
        options=${[["", preset ? "none" : params ? "own parameters" : "none"], ...presets.map((one) => one.name)]}
        onInput=${setParams}
      />
      ${!preset && html`<${Parameters} value=${params} onInput=${setParams} error=${wrong.params} />`}
      ${Object.entries(wrong)
        .filter(([key]) => !beside.has(key))
        .map(([, message]) => html`<${Failure} error=${{ message }} />`)}
      <div class="actions">
        <button class="main" disabled=${!models.length || !name}>Review the change</button>
        ${role && html`<button type="button" class="danger" onClick=${remove}>Remove</button>`}
      </div>
    </form>
    ${
      role &&
      html`<div class="stack">
        <${LivePlan} name=${role.name} /><${Switch} name=${role.name} names=${[...known.keys()]} ...${{ version, propose }} />
      </div>`
    }
  </div>`;
}

// The same model may be there twice, with other parameters.
function labelsOf(models) {
  const texts = models.map(textOf);
  return texts.map((text, place) => {
    const before = texts.slice(0, place).filter((one) => one === text).length;
    return before ? `${text} (${before + 1})` : text;
  });
}

const Name = (said) =>
  html`<${Text} id="role-name" label="Name" required hint="Clients ask for role:NAME" ...${said} />`;

function Parameters({ value, onInput, error }) {
  const input = (more) =>
    html`<textarea
      ...${more}
      rows="2"
      value=${value}
      onInput=${(event) => onInput(event.currentTarget.value)}
    ></textarea>`;
  return html`<${Field} id="role-params" label="Parameters" error=${error} hint='JSON, such as {"temperature": 0.2}'
    >${input}<//
  >`;
}

function LivePlan({ name }) {
  const loaded = useLoad(() => get("/plans", { model: `role:${name}` }), [name], {
    on: ["turn", "reload", "call"],
    everyMs: 2000,
  });
  return html`<div class="card">
    <${Section} title="The plan of a call now"
      ><${Loaded} of=${loaded} what="the plan">${({ plan }) => html`<${Plan} plan=${plan} />`}<//><//
    >
    <a href=${href("play", { model: `role:${name}` })}>Try it in the playground</a>
  </div>`;
}
