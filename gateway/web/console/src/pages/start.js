// The first visit, without a configuration: three ways to begin.
import { html, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { useLoad } from "../lib/load.js";
import { go, href } from "../lib/router.js";
import { useReview } from "../lib/change.js";
import { Page, Section, Loaded, State } from "../lib/parts.js";
import { ProviderForm } from "./provider.js";

const LOCAL = new Set(["ollama", "llamacpp", "lmstudio", "vllm", "litellm", "openai-compatible"]);

export function Start() {
  const loaded = useLoad(() =>
    Promise.all([get("/kinds"), get("/providers")]).then(([kinds, providers]) => ({ kinds: kinds.data, ...providers })),
  );
  const [way, setWay] = useState("");
  const [dialog, propose] = useReview((_, change) => go("providers", { name: change.name }));
  return html`<${Page} title="Three ways to begin" question="What do you have: a key, a model server, or neither?">
    <${Loaded} of=${loaded} what="the kinds of providers"
      >${({ kinds, data, version }) => {
        const found = data.filter((one) => one.set_in === "built_in" && one.kind !== "demo" && !one.unusable);
        const local = kinds.filter((one) => LOCAL.has(one.kind));
        const cloud = kinds.filter((one) => one.key_required);
        return html` ${found.length > 0 && html`<div class="notice" role="status">Found already, without any configuration: ${found.map((one) => html`<${State} is="good">${one.name}<//> `)}</div>`}
          <ul class="strip ways">
            <li class="card">
              <h2>I have a key</h2>
              <p class="quiet">OpenRouter, OpenAI, Anthropic and the like. A key of a free tier will do.</p>
              <button type="button" class="main" aria-expanded=${way === "key"} onClick=${() => setWay("key")}>
                Paste a key
              </button>
            </li>
            <li class="card">
              <h2>I run models myself</h2>
              <p class="quiet">Ollama, llama.cpp, vLLM, LM Studio, on this machine or another.</p>
              <button type="button" class="main" aria-expanded=${way === "local"} onClick=${() => setWay("local")}>
                Name the server
              </button>
            </li>
            <li class="card">
              <h2>Neither, just look</h2>
              <p class="quiet">The built-in model demo/echo answers without a key and costs nothing.</p>
              <a class="button main" href=${href("play", { model: "demo/echo" })}>Try it</a>
            </li>
          </ul>
          ${
            way &&
            html`<${Section} title=${way === "key" ? "A provider with a key" : "A model server"}
              ><div class="card">
                <${ProviderForm}
                  key=${way}
                  kinds=${way === "key" ? cloud : local}
                  version=${version}
                  propose=${propose}
                /></div
            ><//>`
          }`;
      }}<//
    >${dialog}<//
  >`;
}
