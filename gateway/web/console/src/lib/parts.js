// The few parts that all pages are made of.
import { html, useState, useEffect, useRef } from "./ui.js";

const MARKS = { good: "●", warn: "▲", bad: "✕", off: "○" };

// A state in words, with a mark that does not need colour.
export const State = ({ is, children }) =>
  html`<span class="state ${is}"><span aria-hidden="true">${MARKS[is]}</span> ${children}</span>`;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export function Failure({ error, again }) {
  return html`<div class="failure" role="alert">
    <span>${error.message}</span> ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

// What is being loaded, has failed, or is there. `children`: a function of the value.
export function Loaded({ of, what, children }) {
  if (of.value === null)
    return of.error
      ? html`<${Failure} error=${of.error} again=${of.again} />`
      : html`<p class="loading" role="status">Loading ${what} …</p>`;
  return html`${of.error && html`<${Failure} error=${of.error} again=${of.again} />`}${children(of.value)}`;
}

export function Page({ title, question, actions, children }) {
  useEffect(() => {
    document.title = `${title} · Gateway`;
  }, [title]);
  return html`<header class="page-head">
      <div>
        <h1>${title}</h1>
        <p class="question">${question}</p>
      </div>
      <div class="actions">${actions}</div>
    </header>
    ${children}`;
}

export function Section({ title, actions, children }) {
  return html`<section class="block">
    <div class="block-head">
      <h2>${title}</h2>
      <div class="actions">${actions}</div>
    </div>
    ${children}
  </section>`;
}

// A field with its label, hint and mistake. `children`: a function of the attributes of the input.
export function Field({ id, label, hint, error, required, children }) {
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`<div class="field ${error ? "wrong" : ""}">
    <label for=${id}>${label}${required && html`${" "}<span class="required">required</span>`}</label>
    ${children({ id, "aria-describedby": about, "aria-invalid": error ? "true" : undefined })}
    ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
    ${error && html`<p class="error" id="${id}-error" role="alert">${error}</p>`}
  </div>`;
}

export function Text({ id, label, hint, error, required, value, onInput, type = "text", placeholder, list }) {
  return html`<${Field} ...${{ id, label, hint, error, required }}
    >${(more) =>
      html`<input
        ...${more}
        type=${type}
        value=${value}
        placeholder=${placeholder}
        list=${list}
        autocomplete="off"
        spellcheck=${false}
        aria-required=${required ? "true" : undefined}
        onInput=${(event) => onInput(event.currentTarget.value)}
      />`}<//
  >`;
}

export function Choice({ id, label, hint, error, value, options, onInput }) {
  return html`<${Field} ...${{ id, label, hint, error }}
    >${(more) =>
      html`<select ...${more} value=${value} onChange=${(event) => onInput(event.currentTarget.value)}>
        ${options.map((one) => {
          const [key, text] = Array.isArray(one) ? one : [one, one];
          return html`<option value=${key} selected=${key === value}>${text}</option>`;
        })}
      </select>`}<//
  >`;
}

// A dialog that keeps the keyboard inside and gives it back. Escape closes it.
export function Dialog({ title, onClose, wide, children }) {
  const place = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    place.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`<dialog
    ref=${place}
    class=${wide ? "wide" : ""}
    aria-label=${title}
    onCancel=${(event) => {
      event.preventDefault();
      onClose();
    }}
  >
    <div class="dialog-head">
      <h2>${title}</h2>
      <button type="button" class="plain" aria-label="Close" onClick=${onClose}>✕</button>
    </div>
    ${children}
  </dialog>`;
}

// Text to copy, with the button for it.
export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" onClick=${copy}>${done ? "Copied" : label}</button>`;
}

export function Code({ text, label }) {
  return html`<div class="code">
    <pre tabindex="0" aria-label=${label}>${text}</pre>
    <${Copy} text=${text} />
  </div>`;
}

// A difference of two texts, line by line.
export function Diff({ text }) {
  const kind = (line) =>
    line.startsWith("+++") || line.startsWith("---")
      ? "file"
      : line[0] === "+"
        ? "more"
        : line[0] === "-"
          ? "less"
          : line.startsWith("@@")
            ? "place"
            : "";
  return html`<pre class="diff" tabindex="0" aria-label="Difference as YAML">${text.split("\n").map((line) => html`<span class=${kind(line)}>${line}${"\n"}</span>`)}</pre>`;
}

export const Meter = ({ share, label }) =>
  html`<meter
    min="0"
    max="1"
    low="0.2"
    high="0.5"
    optimum="1"
    value=${Math.max(0, Math.min(1, share))}
    aria-label=${label}
  ></meter>`;
