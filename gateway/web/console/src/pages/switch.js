// Switch a role to another model: first the checks and the difference, then live.
import { html, useState } from "../lib/ui.js";
import { mistakes } from "../lib/change.js";
import { Failure, Section, Text } from "../lib/parts.js";

export function Switch({ name, names, version, propose }) {
  const [to, setTo] = useState("");
  const [call, setCall] = useState(false);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState({});
  const rehearse = async (event) => {
    event.preventDefault();
    setWrong({});
    setBusy(true);
    await propose({
      title: `Switch ${name} to ${to}`,
      method: "POST",
      path: "/switch",
      body: { name: `role:${name}`, to, call },
      version,
      name,
    }).catch((error) => setWrong(mistakes(error)));
    setBusy(false);
  };
  const others = Object.entries(wrong).filter(([key]) => key !== "to");
  return html`<form class="card" onSubmit=${rehearse} aria-label="Switch ${name}">
    <${Section} title="Switch it">
      <p class="hint">
        Another model comes first; the others stay behind it. Key, address, list, capabilities, context and price are
        checked before.
      </p>
      <${Text}
        id="switch-to"
        label="To"
        value=${to}
        onInput=${setTo}
        list="switch-names"
        placeholder="provider/model, an alias, or a listed id"
        error=${wrong.to}
      />
      <datalist id="switch-names">${names.map((one) => html`<option value=${one}></option>`)}</datalist>
      <label class="check"
        ><input type="checkbox" checked=${call} onChange=${() => setCall(!call)} />Ask it for one tiny answer too, which
        may cost a little</label
      >
      ${others.map(([key, message]) => html`<${Failure} key=${key} error=${{ message }} />`)}
      <div class="actions form-foot">
        <button disabled=${!to || busy}>${busy ? "Asking the provider …" : "Check the switch"}</button>
      </div><//
    >
  </form>`;
}
