// How do I connect? The lines for each client, and a test of what they would reach.
import { html, useState } from "../lib/ui.js";
import { get, tokens } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { filter, query } from "../lib/router.js";
import { Page, Section, Loaded, State, Code, Text, Choice } from "../lib/parts.js";

export function Connect() {
  const named = useLoad(() =>
    Promise.all([get("/roles"), get("/aliases")]).then(([roles, aliases]) => [
      ...roles.data.map((one) => `role:${one.name}`),
      ...aliases.data.map((one) => one.name),
    ]),
  );
  const { client = "", model = named.value?.[0] || "auto", url = location.origin } = query.value;
  const loaded = useLoad(() => get("/clients", { url, model }), [url, model, named.value]);
  return html`<${Page} title="Connect" question="How do I point a client at this gateway?">
    <datalist id="asked-for">${(named.value || []).map((one) => html`<option value=${one}></option>`)}</datalist>
    <form class="filters" onSubmit=${(event) => event.preventDefault()} aria-label="For whom">
      <${Choice}
        id="client"
        label="Client"
        value=${client || loaded.value?.data[0]?.client || ""}
        options=${(loaded.value?.data || []).map((one) => [one.client, one.title])}
        onInput=${(value) => filter({ client: value })}
      />
      <${Text}
        id="model"
        label="Model"
        value=${model}
        list="asked-for"
        onInput=${(value) => filter({ model: value })}
      />
      <${Text}
        id="url"
        label="The gateway, as the client reaches it"
        value=${url}
        onInput=${(value) => filter({ url: value })}
      />
    </form>
    <${Test} model=${model} />
    <${Loaded} of=${loaded} what="the clients"
      >${({ data, wants_key }) => {
        const chosen = data.find((one) => one.client === client) || data[0];
        return html`<${Section}
          title=${chosen.title}
          actions=${html`<span class="quiet">its page: ${chosen.page}</span>`}
          >${chosen.about && html`<p>${chosen.about}</p>`}
          ${wants_key && html`<p class="quiet">GATEWAY_API_KEY holds a key of this gateway: make one under Keys.</p>`}
          ${chosen.snippets.map(
            (one) =>
              html`<h3 key=${one.place}>${one.place}</h3>
                <${Code} text=${one.text} label=${one.place} />`,
          )}<//
        >`;
      }}<//
    ><//
  >`;
}

// What a client asks first: the list of models. It costs nothing.
function Test({ model }) {
  const [said, setSaid] = useState(null);
  const test = async () => {
    setSaid({ is: "off", words: "asking …" });
    try {
      const response = await fetch("/v1/models", { headers: tokens(), credentials: "same-origin" });
      const body = await response.json();
      if (!response.ok) throw new Error(body.error?.message || `it answered ${response.status}`);
      const there = body.data.some((one) => one.id === model);
      setSaid({
        is: there ? "good" : "warn",
        words: there
          ? `It answers, and has ${model} among ${body.data.length} names`
          : `It answers with ${body.data.length} names, and ${model} is not among them`,
      });
    } catch (error) {
      setSaid({ is: "bad", words: error.message });
    }
  };
  return html`<div class="actions test">
    <button type="button" onClick=${test}>Test</button
    >${said && html`<span role="status"><${State} is=${said.is}>${said.words}<//></span>`}
  </div>`;
}
