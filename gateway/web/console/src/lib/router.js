// The address bar is the state of a page: its path names the page, its query holds every filter.
import { signal, batch } from "./ui.js";

const ROOT = "/console";

export const path = signal("");
export const query = signal({});

function read() {
  batch(() => {
    path.value = location.pathname.slice(ROOT.length).replace(/^\/+|\/+$/g, "");
    query.value = Object.fromEntries(new URLSearchParams(location.search));
  });
}

export const href = (to, filters = {}) => {
  const said = new URLSearchParams(
    Object.entries(filters).filter(([, value]) => value !== "" && value !== null && value !== undefined),
  );
  return `${ROOT}${to ? `/${to}` : ""}${said.size ? `?${said}` : ""}`;
};

export function go(to, filters) {
  history.pushState(null, "", href(to, filters));
  read();
  document.querySelector("main")?.scrollTo(0, 0);
  scrollTo(0, 0);
}

// Change filters of the present page. Typing replaces the entry of the history, so that Back leaves the page.
export function filter(changes) {
  history.replaceState(null, "", href(path.value, { ...query.value, ...changes }));
  read();
}

export function start() {
  addEventListener("popstate", read);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.origin !== location.origin || !link.pathname.startsWith(ROOT) || link.target || link.download) return;
    if (link.pathname === location.pathname && link.hash) return;
    event.preventDefault();
    history.pushState(null, "", link.pathname + link.search);
    read();
    document.getElementById("page")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  read();
}
