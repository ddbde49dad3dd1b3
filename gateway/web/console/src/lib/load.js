// Load what a page shows, show the last answer while the next is on its way, and load again when asked.
import { useState, useEffect, useRef } from "./ui.js";
import { expired } from "./api.js";
import { listen } from "./live.js";

// Returns { value, error, loading, again }. `deps`: load again when one changes.
// `on`: kinds of events after which to load again, at most once each `everyMs`; a page with any also loads again after
// a reconnect, which may have missed some.
export function useLoad(load, deps = [], { on = [], everyMs = 1000 } = {}) {
  const [state, setState] = useState({ value: null, error: null, loading: true });
  const round = useRef(0);
  const again = () => {
    const mine = ++round.current;
    setState((before) => ({ ...before, loading: true }));
    return load().then(
      (value) => mine === round.current && setState({ value, error: null, loading: false }),
      (error) => mine === round.current && setState((before) => ({ value: before.value, error, loading: false })),
    );
  };
  useEffect(() => {
    again();
    return () => {
      round.current++;
    };
  }, deps);
  // What failed because the session had ended is asked for again once somebody has signed in.
  const ended = expired.value;
  useEffect(() => {
    if (!ended && state.error?.status === 401) again();
  }, [ended]);
  useEffect(() => {
    if (!on.length) return undefined;
    let timer = null;
    const stop = listen((kind, said) => {
      const matters = on.includes(kind) || (kind === "open" && said.again);
      if (!matters || timer || document.hidden) return;
      timer = setTimeout(() => {
        timer = null;
        again();
      }, everyMs);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, deps);
  return { ...state, again };
}

// The present time, for waits that run down.
export function useNow(everyMs = 1000) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
