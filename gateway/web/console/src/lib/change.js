// A change is first shown, as the difference in YAML and what it breaks, and then made.
import { html, useState } from "./ui.js";
import { apply, get, rehearse } from "./api.js";
import { Diff, Dialog, Failure, State } from "./parts.js";

// The version that followed each one by a change made here. A page that has not loaded again yet is not out of date
// because of its own change.
const followed = new Map();
const latest = (version) => (followed.has(version) ? latest(followed.get(version)) : version);

// Returns [dialog, propose, made]. `propose(change)` resolves once the change is shown; it rejects with what is wrong with it,
// so that a form can say so beside the field. A change: { title, method, path, body, version }. `done`: after it is made.
export function useReview(done) {
  const [shown, setShown] = useState(null);
  const [made, setMade] = useState(null);
  const propose = async (wished) => {
    setMade(null);
    const change = { ...wished, version: latest(wished.version) };
    const said = await rehearse(change);
    if (said.problems.length)
      throw Object.assign(new Error(said.problems.map((one) => one.message).join("; ")), { problems: said.problems });
    setShown({ change, said });
  };
  const close = () => setShown(null);
  const dialog =
    shown &&
    html`<${Review}
      ...${shown}
      onClose=${close}
      again=${propose}
      onDone=${(result) => {
        close();
        setMade(result);
        done(result, shown.change);
      }}
    />`;
  return [dialog, propose, made];
}

// What is wrong, by the name of the field: the part of its path after the last dot.
export function mistakes(error) {
  const found = error.problems || [{ path: error.param || "", message: error.message }];
  return Object.fromEntries(
    found.map((one) => [
      one.path
        .split(".")
        .at(-1)
        .replace(/\[\d+\]$/, ""),
      one.message,
    ]),
  );
}

const CHECKS = {
  key: "A key is there",
  reachable: "The address answers",
  key_accepted: "The key is accepted",
  listed: "The provider lists it",
  capabilities: "It can do what is needed",
  context: "Its context",
  price: "Its price",
  call: "It answers",
};

// The checks of a switch, as the gateway made them a moment ago.
function Checks({ before, after, steps }) {
  return html`<p><strong class="wrap">${before || "nobody"} → ${after}</strong></p>
    <ol class="steps" aria-label="Checks">
      ${steps.map((one) => html`<li key=${one.step}><${State} is=${one.ok === null ? "off" : one.ok ? "good" : "bad"}>${CHECKS[one.step]}<//> <span class="quiet">${one.detail}</span></li>`)}
    </ol>`;
}

function Review({ change, said, onClose, again, onDone }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const make = async () => {
    setBusy(true);
    setError(null);
    try {
      // A check that fails is overruled knowingly. An answer that was paid for is not asked for again.
      const body = said.steps ? { ...change.body, call: false, force: !said.ok } : change.body;
      const made = await apply({ ...change, body });
      if (made.version !== change.version) followed.set(change.version, made.version);
      onDone(made);
    } catch (refused) {
      setError(refused);
      setBusy(false);
    }
  };
  // The old difference cannot be made live while the new one is on its way.
  const refresh = async () => {
    setBusy(true);
    try {
      const { version } = await get("/config");
      await again({ ...change, version });
      setError(null);
    } catch (refused) {
      setError(refused);
    }
    setBusy(false);
  };
  return html`<${Dialog} title=${change.title} wide onClose=${onClose}>
    ${said.steps && html`<${Checks} ...${said} />`}
    ${
      said.diff
        ? html`<p>This is what changes in the configuration:</p>
            <${Diff} text=${said.diff} />`
        : html`<p>Nothing changes: the configuration says so already.</p>`
    }
    ${
      said.breaks.length > 0 &&
      html`<div class="notice bad" role="alert">
        <strong>This breaks:</strong>
        <ul>
          ${said.breaks.map((one) => html`<li>${one}</li>`)}
        </ul>
      </div>`
    }
    ${
      error &&
      (error.status === 412
        ? html`<div class="notice" role="alert">
            <strong>Somebody else changed the configuration meanwhile.</strong> Nothing is lost: look at the difference
            again.
            <div class="dialog-foot"><button type="button" disabled=${busy} onClick=${refresh}>Compare again</button></div>
          </div>`
        : html`<${Failure} error=${error} />`)
    }
    <div class="dialog-foot">
      <button type="button" onClick=${onClose}>Back</button>
      <button
        type="button"
        class=${said.ok === false ? "danger" : "main"}
        disabled=${busy || !said.diff || error?.status === 412}
        onClick=${make}
      >
        ${busy && !error ? "Making it live …" : said.ok === false ? "Switch although a check fails" : "Make it live"}
      </button>
    </div><//
  >`;
}

// The result of a change, for people.
export function Made({ made }) {
  if (!made) return null;
  return html`<div class="notice ${made.in_use ? "good" : ""}" role="status">
    ${made.in_use ? "It is live: new calls use it." : made.note}
  </div>`;
}
