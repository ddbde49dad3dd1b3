// The form of one experiment: whose calls take part, how many of them, and what they are divided among.
import { html, useState } from "../lib/ui.js";
import { inPath } from "../lib/api.js";
import { parametersOf, readParameters } from "../lib/trial.js";
import { Choice, Failure, Text } from "../lib/parts.js";

const empty = { name: "", model: "", params: {}, weight: 1 };
const row = (arm) => ({ ...arm, params: parametersOf(arm), weight: String(arm.weight) });
// JavaScript puts such names before all others, and the first arm is the one that the others are compared with.
const NUMBER = /^\d+$/;
const IN_FORM = /^(name|on|share|sticky|arms\.\d+\.(name|model|weight|params)|mirror\.(model|params|at_once))$/;

export function ExperimentForm({ before, version, names, propose }) {
  const [name, setName] = useState(before?.name || "");
  const [on, setOn] = useState(before?.on || "");
  const [share, setShare] = useState(before?.written_share || "");
  const [sticky, setSticky] = useState(before?.sticky || "session");
  const [way, setWay] = useState(before?.mirror ? "mirror" : "arms");
  const [arms, setArms] = useState(
    (before?.arms.length ? before.arms : [{ ...empty, name: "usual" }, { ...empty, name: "other" }]).map(row),
  );
  const [mirror, setMirror] = useState(() => {
    const found = row(before?.mirror || { ...empty, at_once: 4 });
    return { ...found, at_once: String(found.at_once) };
  });
  const [wrong, setWrong] = useState({});
  const errorAt = (path) => wrong[path];

  const submit = async (event) => {
    event.preventDefault();
    const found = {};
    const params = (path, text) => {
      try {
        return readParameters(text);
      } catch {
        found[path] = 'this is neither JSON nor a preset; write {"temperature": 0.2}';
        return undefined;
      }
    };
    const body = { on, ...(share.trim() ? { share: share.trim() } : {}), sticky };
    if (way === "mirror") body.mirror = target(mirror, params("mirror.params", mirror.params), { at_once: numberOr(mirror.at_once) });
    else {
      const said = arms.map((arm) => arm.name.trim());
      said.forEach((one, at) => {
        if (!one || NUMBER.test(one)) found[`arms.${at}.name`] = "an arm needs a name that is no number";
        else if (said.indexOf(one) !== at) found[`arms.${at}.name`] = "another arm has this name";
      });
      body.arms = Object.fromEntries(
        arms.map((arm, at) => [
          arm.name.trim(),
          target(arm, params(`arms.${at}.params`, arm.params), arm.weight.trim() === "1" ? {} : { weight: numberOr(arm.weight) }),
        ]),
      );
    }
    if (!name.trim()) found.name = "an experiment needs a name";
    setWrong(found);
    if (Object.keys(found).length) return undefined;
    return propose({
      title: before ? `Change the experiment ${name}` : `Begin the experiment ${name}`,
      method: "PUT",
      path: `/experiments/${inPath(name)}`,
      body,
      version,
      name,
    }).catch((error) => setWrong(placed(error, name, arms)));
  };
  const end = () =>
    propose({
      title: `End the experiment ${name}`,
      method: "DELETE",
      path: `/experiments/${inPath(name)}`,
      version,
      name,
    }).catch((error) => setWrong(placed(error, name, arms)));
  const change = (at, changes) => setArms(arms.map((arm, place) => (place === at ? { ...arm, ...changes } : arm)));

  const fields = html`<${Text}
      id="experiment-on"
      label="Whose calls take part"
      required
      value=${on}
      onInput=${setOn}
      list="experiment-names"
      placeholder="role:NAME or an alias"
      error=${wrong.on}
    />
    <datalist id="experiment-names">${names.map((one) => html`<option value=${one}></option>`)}</datalist>
    <${Text}
      id="experiment-share"
      label="How many of them"
      value=${share}
      onInput=${setShare}
      placeholder=${way === "mirror" ? "5%" : "all"}
      hint=${way === "mirror" ? "Needed, because copies cost money" : "20%, or empty for all"}
      error=${wrong.share}
    />
    <${Choice}
      id="experiment-sticky"
      label="What stays with one arm"
      value=${sticky}
      options=${["session", "user", "key", ["call", "nothing: each call by itself"]]}
      onInput=${setSticky}
      error=${wrong.sticky}
    />
    <${Choice}
      id="experiment-way"
      label="How"
      value=${way}
      options=${[
        ["arms", "divide the calls among arms"],
        ["mirror", "copy calls to a mirror; clients get the usual answers"],
      ]}
      onInput=${setWay}
    />`;
  const inWay =
    way === "mirror"
      ? html`<fieldset class="arm">
          <legend>Mirror</legend>
          <${Target} id="mirror" of=${mirror} change=${(changes) => setMirror({ ...mirror, ...changes })} errorAt=${errorAt} />
          <${Text}
            id="mirror-at-once"
            label="At once"
            value=${mirror.at_once}
            onInput=${(value) => setMirror({ ...mirror, at_once: value })}
            error=${errorAt("mirror.at_once")}
          />
        </fieldset>`
      : html`${arms.map(
            (arm, at) =>
              html`<fieldset class="arm" key=${at}>
                <legend>${at === 0 ? "First arm: the others are compared with it" : `Arm ${at + 1}`}</legend>
                <${Text}
                  id="arms-${at}-name"
                  label="Name"
                  required
                  value=${arm.name}
                  onInput=${(value) => change(at, { name: value })}
                  error=${errorAt(`arms.${at}.name`)}
                />
                <${Target} id="arms.${at}" of=${arm} change=${(changes) => change(at, changes)} errorAt=${errorAt} />
                <${Text}
                  id="arms-${at}-weight"
                  label="Weight"
                  value=${arm.weight}
                  onInput=${(value) => change(at, { weight: value })}
                  error=${errorAt(`arms.${at}.weight`)}
                />
                ${
                  arms.length > 2 &&
                  html`<button type="button" aria-label="Remove the arm ${arm.name || at + 1}" onClick=${() => setArms(arms.toSpliced(at, 1))}>
                    Remove
                  </button>`
                }
              </fieldset>`,
          )}
          <button type="button" onClick=${() => setArms([...arms, row({ ...empty, name: `arm-${arms.length + 1}` })])}>
            Add an arm
          </button>`;
  return html`<form class="card" onSubmit=${submit} aria-label=${before ? `Experiment ${name}` : "New experiment"}>
    ${
      before
        ? html`<h2>Change or end it</h2>`
        : html`<${Text}
            id="experiment-name"
            label="Name"
            required
            value=${name}
            onInput=${setName}
            error=${wrong.name}
            hint="The ledger and the report have it"
          />`
    }
    ${fields}${inWay}
    ${Object.entries(wrong)
      .filter(([path]) => !IN_FORM.test(path))
      .map(([path, message]) => html`<${Failure} key=${path} error=${{ message }} />`)}
    <div class="actions form-foot">
      <button class="main" disabled=${!on}>Review the change</button>
      ${before && html`<button type="button" class="danger" onClick=${end}>End the experiment</button>`}
    </div>
  </form>`;
}

function Target({ id, of, change, errorAt }) {
  const place = id.replaceAll(".", "-");
  return html`<${Text}
      id="${place}-model"
      label="Model"
      value=${of.model || ""}
      onInput=${(value) => change({ model: value })}
      list="experiment-names"
      placeholder="the usual models"
      error=${errorAt(`${id}.model`)}
    />
    <${Text}
      id="${place}-params"
      label="Parameters"
      value=${of.params}
      onInput=${(value) => change({ params: value })}
      placeholder='a preset, or {"temperature": 0.2}'
      error=${errorAt(`${id}.params`)}
    />`;
}

const numberOr = (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);

const target = ({ model }, params, more) => ({
  ...(model?.trim() ? { model: model.trim() } : {}),
  ...(params ? { params } : {}),
  ...more,
});

// What is wrong, by the place in the form. The API names the path: experiments.NAME.arms.ARM.weight.
function placed(error, name, arms) {
  const found = error.problems || [{ path: error.param || "", message: error.message }];
  const ours = `experiments.${name}.`;
  return Object.fromEntries(
    found.map(({ path, message }) => {
      const inside = path.startsWith(ours) ? path.slice(ours.length) : path;
      const at = arms.findIndex((arm) => inside.startsWith(`arms.${arm.name.trim()}.`));
      const field = at < 0 ? inside : `arms.${at}.${inside.slice(`arms.${arms[at].name.trim()}.`.length)}`;
      return [field.replace(/\.params\..*$/, ".params"), message];
    }),
  );
}
