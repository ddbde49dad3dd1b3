// Keys: who may call, for what, how much and how often. A secret is shown once, when it is made.
import { html, useState } from "../lib/ui.js";
import { act, get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { mistakes } from "../lib/change.js";
import { Page, Section, Loaded, State, Empty, Code, Dialog, Failure, Text, Choice } from "../lib/parts.js";
import { moment, usd } from "../lib/format.js";

export function Keys() {
  const loaded = useLoad(() => get("/keys"));
  const [open, setOpen] = useState("");
  const [revoked, setRevoked] = useState(null);
  return html`<${Page}
    title="Keys"
    question="Who may call, for what, and how much?"
    actions=${html`<button type="button" class="main" onClick=${() => setOpen("new")}>Make a key</button>`}
  >
    <${Loaded} of=${loaded} what="keys"
      >${({ data }) =>
        data.length === 0
          ? html`<${Empty}
              >There is no key yet. While there is none, programs on this machine call without one; the first key closes
              that door.<//
            >`
          : html` <div class="table" tabindex="0" role="region" aria-label="Keys">
              <table>
                <thead>
                  <tr>
                    <th>Name</th>
                    <th>State</th>
                    <th>May use</th>
                    <th>Budget</th>
                    <th>Limits</th>
                    <th>Made</th>
                    <th><span class="unseen">Actions</span></th>
                  </tr>
                </thead>
                <tbody>
                  ${data.map(
                    (one) =>
                      html`<tr key=${one.id}>
                        <td class="wrap">
                          <strong>${one.name || one.id}</strong>
                          <span class="quiet">…${one.hint}${one.admin ? " · administers" : ""}</span>
                        </td>
                        <td><${State} is=${one.state === "active" ? "good" : "off"}>${one.state}<//></td>
                        <td class="wrap">${one.routes.join(", ") || "everything"}</td>
                        <td>${one.budget_nanousd === null ? "–" : `${usd(one.budget_nanousd)} each ${one.window}`}</td>
                        <td>
                          ${[one.rpm && `${one.rpm} calls/min`, one.tpm && `${one.tpm} tokens/min`, one.streams && `${one.streams} at once`].filter(Boolean).join(", ") || "–"}
                        </td>
                        <td>${moment(one.created_at)}</td>
                        <td>
                          ${one.state === "active" && html`<button type="button" class="danger" aria-label="Revoke ${one.name || one.id}" onClick=${() => setRevoked(one)}>Revoke</button>`}
                        </td>
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>`}<//
    >
    ${
      open &&
      html`<${NewKey}
        onClose=${() => {
          setOpen("");
          loaded.again();
        }}
      />`
    }
    ${
      revoked &&
      html`<${Revoke}
        one=${revoked}
        onClose=${() => {
          setRevoked(null);
          loaded.again();
        }}
      />`
    }<//
  >`;
}

function NewKey({ onClose }) {
  const [values, setValues] = useState({
    name: "",
    routes: "",
    budget: "",
    window: "month",
    rpm: "",
    expires: "",
    admin: "",
  });
  const [wrong, setWrong] = useState({});
  const [made, setMade] = useState(null);
  const set = (name) => (value) => setValues({ ...values, [name]: value });
  const known = new Set(["name", "routes", "budget_usd", "rpm", "expires"]);
  const submit = async (event) => {
    event.preventDefault();
    setWrong({});
    const body = {
      name: values.name,
      routes: values.routes.split(/[\s,]+/).filter(Boolean),
      admin: values.admin === "yes",
    };
    if (values.budget) Object.assign(body, { budget_usd: values.budget, window: values.window });
    if (values.rpm) body.rpm = Number(values.rpm);
    if (values.expires) body.expires = values.expires;
    await act("POST", "/keys", body).then(setMade, (error) => setWrong(mistakes(error)));
  };
  if (made)
    return html`<${Dialog} title="The key ${made.name || made.id}" onClose=${onClose}
      ><p>Copy it now: it is shown this once, and the gateway keeps only its digest.</p>
      <${Code} text=${made.secret} label="Secret" />
      <div class="dialog-foot"><button type="button" class="main" onClick=${onClose}>I have copied it</button></div><//
    >`;
  return html`<${Dialog} title="Make a key" onClose=${onClose}
    ><form onSubmit=${submit}>
      <${Text} id="key-name" label="Name" value=${values.name} onInput=${set("name")} error=${wrong.name} />
      <${Text}
        id="key-routes"
        label="May use"
        value=${values.routes}
        onInput=${set("routes")}
        error=${wrong.routes}
        hint="names with commas, * for any part; empty: everything"
        placeholder="role:*, main"
      />
      <div class="filters">
        <${Text}
          id="key-budget"
          label="Budget in USD"
          value=${values.budget}
          onInput=${set("budget")}
          error=${wrong.budget_usd}
        />
        <${Choice}
          id="key-window"
          label="For each"
          value=${values.window}
          options=${["hour", "day", "week", "month", "lifetime"]}
          onInput=${set("window")}
        />
        <${Text} id="key-rpm" label="Calls a minute" value=${values.rpm} onInput=${set("rpm")} error=${wrong.rpm} />
        <${Text}
          id="key-expires"
          label="Expires after"
          value=${values.expires}
          onInput=${set("expires")}
          error=${wrong.expires}
          placeholder="90d"
        />
      </div>
      <${Choice}
        id="key-admin"
        label="Is for"
        value=${values.admin}
        options=${[
          ["", "calls"],
          ["yes", "administration, and makes no calls"],
        ]}
        onInput=${set("admin")}
      />
      ${Object.entries(wrong)
        .filter(([key]) => !known.has(key))
        .map(([, message]) => html`<${Failure} error=${{ message }} />`)}
      <div class="dialog-foot">
        <button type="button" onClick=${onClose}>Back</button><button class="main">Make the key</button>
      </div>
    </form><//
  >`;
}

function Revoke({ one, onClose }) {
  const [error, setError] = useState(null);
  const revoke = () => act("DELETE", `/keys/${encodeURIComponent(one.id)}`).then(onClose, setError);
  return html`<${Dialog} title="Revoke ${one.name || one.id}?" onClose=${onClose}
    ><p>Calls with this key are refused within a second, for good. Calls under way go on.</p>
    ${error && html`<${Failure} error=${error} />`}
    <div class="dialog-foot">
      <button type="button" onClick=${onClose}>Back</button
      ><button type="button" class="danger" onClick=${revoke}>Revoke for good</button>
    </div><//
  >`;
}
