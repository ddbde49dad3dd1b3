// The gateway's events. One connection for the whole page, however many parts listen.
import { signal, effect } from "./ui.js";
import { get, session } from "./api.js";

// "off" · "connecting" · "live" · "lost"
export const connection = signal("off");
const AGAIN_AFTER_MS = 3000;
const listeners = new Set();
let source = null;
let wasOpen = false;

// Call `hear(kind, event)` for each event, until the returned function is called. The connection's own event "open" means
// that earlier events were missed. `again`: this is a reconnect.
export function listen(hear) {
  listeners.add(hear);
  return () => listeners.delete(hear);
}

function tell(kind, said) {
  for (const hear of listeners) hear(kind, said);
}

function open() {
  connection.value = "connecting";
  source = new EventSource("/admin/v1/events");
  source.onopen = () => {
    connection.value = "live";
    tell("open", { again: wasOpen });
    wasOpen = true;
  };
  source.onerror = () => {
    connection.value = "lost";
    // A browser gives up after an answer that is no stream, such as 401 or 502.
    if (source.readyState === EventSource.CLOSED) {
      source.close();
      setTimeout(() => {
        get("/facts").catch(() => {}); // an ended session is noticed there
        if (session.value?.signed_in) open();
      }, AGAIN_AFTER_MS);
    }
  };
  for (const kind of ["call", "turn", "reload"]) {
    source.addEventListener(kind, (event) => tell(kind, JSON.parse(event.data)));
  }
}

export function startLive() {
  effect(() => {
    const signedIn = Boolean(session.value?.signed_in);
    if (signedIn && connection.peek() === "off") open();
    if (!signedIn && source) {
      source.close();
      source = null;
      connection.value = "off";
    }
  });
}
