// Signing in: with an admin key, or with the link that `gateway console` prints.
import { html, useState, useEffect } from "../lib/ui.js";
import { session, startSession } from "../lib/api.js";
import { Text, Dialog } from "../lib/parts.js";

function Form({ words }) {
  const [key, setKey] = useState("");
  const [error, setError] = useState(session.value.mistake || "");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    await startSession({ key }).catch((refused) => setError(refused.message));
    setBusy(false);
  };
  return html`<form onSubmit=${submit} class="signin">
    <p>${words}</p>
    <${Text}
      id="key"
      label="Admin key"
      type="password"
      value=${key}
      onInput=${setKey}
      error=${error}
      required
      hint="GATEWAY_ADMIN_KEY, one of server.admin_keys, or a key made with gateway keys create NAME --admin"
    />
    <button class="main" disabled=${busy || !key}>Sign in</button>
    <p class="hint">
      No key at hand? Run <code>gateway console</code> where the gateway runs, and open the link that it prints.
    </p>
  </form>`;
}

export function SignIn({ again }) {
  useEffect(() => {
    document.title = "Sign in · Gateway";
  }, []);
  if (again) {
    return html`<${Dialog} title="Your session has ended" onClose=${() => location.reload()}>
      <${Form} words="Sign in again; the page behind stays as it is."
    /><//>`;
  }
  return html`<main class="alone">
    <h1>Gateway</h1>
    <${Form} words="Sign in to see and change what this gateway does." />
  </main>`;
}
