// The frame around the pages: who is signed in, where one can go, and whether the gateway is there.
import { html, render, useEffect, useState, effect } from "./lib/ui.js";
import { session, expired, startSession, endSession } from "./lib/api.js";
import { start, path, href } from "./lib/router.js";
import { connection, startLive } from "./lib/live.js";
import { SignIn } from "./pages/signin.js";
import { Now } from "./pages/now.js";
import { Calls } from "./pages/calls.js";
import { Roles } from "./pages/roles.js";
import { Providers } from "./pages/providers.js";
import { Models } from "./pages/models.js";
import { Start } from "./pages/start.js";
import { Play } from "./pages/play.js";
import { Money } from "./pages/money.js";
import { Keys } from "./pages/keys.js";
import { Experiments } from "./pages/experiments.js";
import { Configuration } from "./pages/configuration.js";
import { Connect } from "./pages/connect.js";

const PAGES = [
  { path: "", title: "Now", page: Now },
  { path: "calls", title: "Calls", page: Calls },
  { path: "roles", title: "Roles", page: Roles },
  { path: "providers", title: "Providers", page: Providers },
  { path: "models", title: "Models", page: Models },
  { path: "money", title: "Money", page: Money },
  { path: "play", title: "Playground", page: Play },
  { path: "keys", title: "Keys", page: Keys },
  { path: "experiments", title: "Experiments", page: Experiments },
  { path: "configuration", title: "Configuration", page: Configuration },
  { path: "connect", title: "Connect", page: Connect },
  { path: "start", title: "Begin", page: Start },
];

function Frame() {
  const here = PAGES.find((one) => one.path === path.value.split("/")[0]);
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path.value]);
  return html` <a class="skip" href="#page">Skip to the page</a>
    <div class="frame">
      <nav aria-label="Pages" class=${open ? "open" : ""}>
        <div class="brand">
          <a href=${href("")}>Gateway</a>
          <button
            type="button"
            class="menu"
            aria-expanded=${open}
            aria-controls="pages"
            onClick=${() => setOpen(!open)}
          >
            Menu
          </button>
        </div>
        <ul id="pages">
          ${PAGES.map(
            (one) =>
              html`<li key=${one.path}>
                <a href=${href(one.path)} aria-current=${one === here ? "page" : undefined}>${one.title}</a>
              </li>`,
          )}
        </ul>
        <div class="foot">
          <${Connection} /><span class="quiet">${session.value.version}</span>
          <button type="button" class="plain" onClick=${endSession}>Sign out</button>
        </div>
      </nav>
      <main id="page" tabindex="-1">
        ${connection.value === "lost" && html`<div class="notice bad" role="alert">The connection to the gateway is lost. What you see is the last known state; it reconnects by itself.</div>`}
        ${here ? html`<${here.page} />` : html`<p class="empty">There is no such page. <a href=${href("")}>Can I work now?</a></p>`}
      </main>
    </div>
    ${expired.value && html`<${SignIn} again=${true} />`}`;
}

function Connection() {
  const said = { off: "off", connecting: "connecting", live: "live", lost: "lost" }[connection.value];
  return html`<span class="connection ${said}" role="status">${said}</span>`;
}

function Console() {
  if (session.value === null) return html`<p class="loading" role="status">Loading …</p>`;
  return session.value.signed_in ? html`<${Frame} />` : html`<${SignIn} />`;
}

async function begin() {
  // The secret of a one-time link leaves the address bar before anything else happens.
  const link = new URLSearchParams(location.hash.slice(1)).get("link");
  if (link) history.replaceState(null, "", location.pathname + location.search);
  start();
  startLive();
  let mistake = "";
  if (link)
    await startSession({ link }).catch((error) => {
      mistake = error.message;
    });
  if (!session.value?.signed_in) {
    await startSession().catch((error) => {
      mistake = error.message;
      session.value = { signed_in: false, version: "" };
    });
  }
  if (mistake) session.value = { ...session.value, mistake };
}

effect(() => document.documentElement.classList.toggle("lost", connection.value === "lost"));
render(html`<${Console} />`, document.getElementById("console"));
begin();
