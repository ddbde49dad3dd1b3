// The playground: one prompt to one name, or to two side by side. What is typed stays in this page and is never stored.
import { html, useEffect, useMemo, useRef, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { filter, href, query } from "../lib/router.js";
import { chat, costOf, roughTokens } from "../lib/chat.js";
import { curl } from "../lib/calls.js";
import { Plan } from "../lib/plan.js";
import { Code, Failure, Field, Page, State, Text, Choice } from "../lib/parts.js";
import { ms, tokens, usd } from "../lib/format.js";

const MOST_USUAL = 1024;

export function Play() {
  const { model = "", beside = "" } = query.value;
  const loaded = useLoad(() =>
    Promise.all([get("/roles"), get("/aliases"), get("/presets"), get("/models", { pool: "curated" })]).then(
      ([roles, aliases, presets, models]) => ({
        names: [
          ...roles.data.map((one) => `role:${one.name}`),
          ...aliases.data.map((one) => one.name),
          ...models.curated.flatMap((one) => one.upstreams),
        ],
        presets: presets.data,
      }),
    ),
  );
  const [prompt, setPrompt] = useState("");
  const [system, setSystem] = useState("");
  const [written, setWritten] = useState("");
  const [round, setRound] = useState(0);
  const names = loaded.value?.names || [];
  const first = model || names[0] || "";
  const [parameters, wrong] = useMemo(() => {
    try {
      return [written.trim() ? JSON.parse(written) : {}, ""];
    } catch (error) {
      return [{}, `this is no JSON: ${error.message}`];
    }
  }, [written]);
  const messages = [...(system ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }];
  const choosePreset = (name) =>
    setWritten(name ? JSON.stringify(loaded.value.presets.find((one) => one.name === name).value) : "");
  const ready = prompt.trim() && first && !wrong;
  const send = (event) => {
    event.preventDefault();
    if (ready) setRound(round + 1);
  };
  return html`<${Page} title="Playground" question="What does it answer, how fast, and for how much?">
    ${loaded.error && html`<${Failure} error=${loaded.error} again=${loaded.again} />`}
    <form onSubmit=${send} class="card play" aria-label="Ask">
      <datalist id="names">${names.map((one) => html`<option value=${one}></option>`)}</datalist>
      <div class="filters">
        <${Text}
          id="model"
          label="Role or model"
          value=${first}
          list="names"
          onInput=${(value) => filter({ model: value })}
        />
        <${Text}
          id="beside"
          label="Side by side with"
          value=${beside}
          list="names"
          placeholder="nothing"
          onInput=${(value) => filter({ beside: value })}
        />
        <${Choice}
          id="preset"
          label="Preset"
          value=""
          options=${[["", "none"], ...(loaded.value?.presets || []).map((one) => one.name)]}
          onInput=${choosePreset}
        />
        <${Text}
          id="parameters"
          label="Parameters"
          value=${written}
          onInput=${setWritten}
          error=${wrong}
          placeholder='{"temperature": 0.2}'
        />
      </div>
      <${Text} id="system" label="System" value=${system} onInput=${setSystem} placeholder="nothing" />
      <${Field} id="prompt" label="Prompt"
        >${(more) =>
          html`<textarea
            ...${more}
            rows="4"
            value=${prompt}
            onInput=${(event) => setPrompt(event.currentTarget.value)}
            onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && send(event)}
          ></textarea>`}<//
      >
      <div class="actions">
        <button class="main" disabled=${!ready}>Send</button><span class="hint">or Ctrl with Enter</span>
      </div>
    </form>
    <div class="halves">
      ${[first, beside].filter(Boolean).map((name, place) => html`<${Lane} key=${`${place}${name}`} model=${name} messages=${messages} parameters=${parameters} round=${round} />`)}
    </div><//
  >`;
}

// One name: what it will cost, its answer, and what it did cost.
function Lane({ model, messages, parameters, round }) {
  const [state, setState] = useState({ phase: "idle" });
  const stop = useRef(null);
  const sent = useRef(round);
  useEffect(() => {
    if (round === sent.current) return undefined;
    sent.current = round;
    const control = new AbortController();
    stop.current = control;
    setState({ phase: "running", said: null });
    const asked = { model, messages, parameters };
    chat(asked, { signal: control.signal, onText: (said) => setState((before) => ({ ...before, said })) }).then(
      async (done) => {
        setState({ phase: "done", said: done, done });
        const id = done.headers["x-request-id"];
        const cost = id ? await costOf(id) : null;
        setState((before) => (before.done === done ? { ...before, cost } : before));
      },
      (error) =>
        setState((before) =>
          control.signal.aborted ? { ...before, phase: "stopped" } : { ...before, phase: "failed", error },
        ),
    );
    return undefined;
  }, [round]);
  useEffect(() => () => stop.current?.abort(), []);
  const { phase, said, done, error, cost } = state;
  return html`<section class="card" aria-label="Answer of ${model}">
    <div class="block-head">
      <h2 class="wrap">${model}</h2>
      ${phase === "running" && html`<button type="button" onClick=${() => stop.current.abort()}>Stop</button>`}
    </div>
    <${Before} model=${model} messages=${messages} parameters=${parameters} />
    ${
      said?.thinking &&
      html`<details>
        <summary>Thoughts</summary>
        <div class="answer-text quiet">${said.thinking}</div>
      </details>`
    }
    ${said && html`<div class="answer-text" aria-live="polite">${said.text}</div>`}
    ${phase === "running" && !said && html`<p class="loading" role="status">Waiting for the first token …</p>`}
    ${phase === "stopped" && html`<p class="quiet" role="status">Stopped. The gateway has closed the request upstream.</p>`}
    ${error && html`<${Failure} error=${error} />`}
    ${
      done &&
      html`<dl class="facts">
        <div>
          <dt>served by</dt>
          <dd>${done.headers["x-gateway-provider"] || "–"} ${done.headers["x-gateway-model"] || ""}</dd>
        </div>
        <div>
          <dt>first token</dt>
          <dd>${ms(done.first_ms)}</dd>
        </div>
        <div>
          <dt>in all</dt>
          <dd>${ms(done.total_ms)}</dd>
        </div>
        <div>
          <dt>tokens</dt>
          <dd>
            ${done.usage ? `${tokens(done.usage.prompt_tokens)} in, ${tokens(done.usage.completion_tokens)} out` : "not told"}
          </dd>
        </div>
        <div>
          <dt>cost</dt>
          <dd class="cost">${cost === undefined ? "…" : usd(cost)}</dd>
        </div>
        ${
          done.headers["x-request-id"] &&
          html`<div>
            <dt>call</dt>
            <dd><a href=${href("calls", { call: done.headers["x-request-id"] })}>its attempts</a></dd>
          </div>`
        }
      </dl>`
    }
    <details>
      <summary>As a command</summary>
      <${Code} label="Command" text=${curl(location.origin, { model, messages, parameters, stream: true })} />
    </details>
  </section>`;
}

// The plan and its cost, asked for while somebody types.
function Before({ model, messages, parameters }) {
  const length = roughTokens(messages.map((one) => one.content).join(""));
  const most = parameters.max_completion_tokens || parameters.max_tokens || MOST_USUAL;
  const [asked, setAsked] = useState({ length, most });
  useEffect(() => {
    const timer = setTimeout(() => setAsked({ length, most }), 400);
    return () => clearTimeout(timer);
  }, [length, most]);
  const loaded = useLoad(
    () => get("/plans", { model, tokens: String(asked.length), max_tokens: String(Math.trunc(asked.most) || 0) }),
    [model, asked],
    { on: ["reload"] },
  );
  const plan = loaded.value?.plan;
  if (loaded.error) return html`<p class="quiet" role="status"><${State} is="bad">${loaded.error.message}<//></p>`;
  if (!plan) return html`<p class="quiet">…</p>`;
  const [next] = plan.candidates;
  const cost = !next
    ? "nobody would take it"
    : next.free
      ? "free"
      : next.estimate_usd === null
        ? "its price is unknown"
        : `at most about ${usd(next.estimate_usd * 1e9)} for ${tokens(asked.most)} tokens out`;
  return html`<details class="before">
    <summary>About ${tokens(asked.length)} tokens in: ${next ? html`${next.upstream}, ${cost}` : cost}</summary>
    <${Plan} plan=${plan} />
  </details>`;
}
