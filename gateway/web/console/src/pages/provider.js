// The settings of one provider, as fields that the API names for its kind. Secrets are written and never shown.
import { html, useState } from "../lib/ui.js";
import { inPath } from "../lib/api.js";
import { mistakes } from "../lib/change.js";
import { Choice, Failure, Text } from "../lib/parts.js";

const USUAL = "openai-compatible";

export function ProviderForm({ provider, kinds, version, propose, kindAtFirst }) {
  const [kind, setKind] = useState(provider?.kind || kindAtFirst || kinds[0]?.kind || USUAL);
  const row = kinds.find((one) => one.kind === kind);
  const fields = provider ? provider.fields : row?.fields || [];
  const written = provider?.value && typeof provider.value === "object" ? provider.value : {};
  const [name, setName] = useState(kind);
  const [named, setNamed] = useState(false);
  const [values, setValues] = useState({});
  const [wrong, setWrong] = useState({});
  const known = new Set(["name", "kind", ...fields.map((one) => one.key)]);
  const others = Object.entries(wrong)
    .filter(([key]) => !known.has(key))
    .map(([, message]) => message);

  const submit = async (event) => {
    event.preventDefault();
    setWrong({});
    const said = Object.fromEntries(
      Object.entries(values)
        .filter(
          ([key, value]) =>
            fields.some((one) => one.key === key) &&
            (value !== "" ||
              (provider && written[key] !== undefined && !fields.find((one) => one.key === key).sensitive)),
        )
        .map(([key, value]) => [key, value === "" ? null : value]),
    );
    if (!provider && !name.trim()) return setWrong({ name: "a provider needs a name" });
    const missing = provider ? [] : fields.filter((one) => one.required && !said[one.key] && !one.sensitive);
    if (missing.length) return setWrong(Object.fromEntries(missing.map((one) => [one.key, `${one.label} is needed`])));
    const change = provider
      ? {
          title: `Change ${provider.name}`,
          method: "PATCH",
          path: `/providers/${inPath(provider.name)}`,
          body: said,
          name: provider.name,
        }
      : { title: `Add ${name}`, method: "PUT", path: `/providers/${inPath(name)}`, body: { kind, ...said }, name };
    return propose({ ...change, version }).catch((error) => setWrong(mistakes(error)));
  };

  return html`<form
    onSubmit=${submit}
    class="with-guide"
    aria-label=${provider ? `Settings of ${provider.name}` : "New provider"}
  >
    <div>
      ${
        !provider &&
        html` <${Choice}
            id="kind"
            label="Kind"
            value=${kind}
            options=${kinds.map((one) => one.kind)}
            error=${wrong.kind}
            onInput=${(value) => {
              setKind(value);
              if (!named) setName(value);
            }}
          />
          <${Text}
            id="name"
            label="Name"
            required
            value=${name}
            error=${wrong.name}
            hint="Calls name it: NAME/model"
            onInput=${(value) => {
              setName(value);
              setNamed(true);
            }}
          />`
      }
      ${fields.map(
        (one) =>
          html`<${Text}
            key=${one.key}
            id="field-${one.key}"
            label=${one.label}
            required=${one.required && !(provider && one.sensitive) && !one.sensitive}
            error=${wrong[one.key]}
            type=${one.sensitive ? "password" : "text"}
            value=${values[one.key] ?? (one.sensitive ? "" : String(written[one.key] ?? ""))}
            placeholder=${one.sensitive && written[one.key] ? (written[one.key].startsWith?.("$") ? written[one.key] : "set; leave empty to keep it") : ""}
            hint=${one.hint}
            onInput=${(value) => setValues({ ...values, [one.key]: value })}
          />`,
      )}
      ${others.map((one) => html`<${Failure} error=${{ message: one }} />`)}
      <div class="actions"><button class="main">${provider ? "Review the change" : "Review and add"}</button></div>
    </div>
    ${
      row?.guide.length > 0 &&
      html`<aside aria-label="How to">
        <h3>How to</h3>
        <ol>
          ${row.guide.map((one) => html`<li>${one}</li>`)}
        </ol>
      </aside>`
    }
  </form>`;
}
