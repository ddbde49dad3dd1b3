// The gateway's events. One connection for the whole page, however many parts listen.
import { signal, effect } from "./ui.js";
import { get, session } from "./api.js";

// "off" · "connecting" · "live" · "lost"
export const connection = signal("off");
const AGAIN_AFTER_MS = 3000;
const listeners = new Set();
let source = null;

// Call `hear(kind, event)` for each event, until the returned function is called.
export function listen(hear) {
  listeners.add(hear);
  return () => listeners.delete(hear);
}

function open() {
  connection.value = "connecting";
  source = new EventSource("/admin/v1/events");
  source.onopen = () => (connection.value = "live");
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
    source.addEventListener(kind, (event) => {
      const said = JSON.parse(event.data);
      for (const hear of listeners) hear(kind, said);
    });
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
