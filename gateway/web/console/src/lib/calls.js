// Calls out of attempts and events: one shape, whichever way a call became known.

// The first good outcome is the call's; else the last attempt says what became of it.
export function callsOf(attempts) {
  const calls = new Map();
  for (const one of attempts) {
    const known = calls.get(one.request_id);
    if (known) known.attempts.push(one);
    else calls.set(one.request_id, { id: one.request_id, attempts: [one] });
  }
  return [...calls.values()].map(({ id, attempts }) => {
    const inOrder = attempts.toSorted((a, b) => a.began_at - b.began_at);
    const last = inOrder.at(-1);
    return {
      id,
      at: inOrder[0].began_at,
      key: last.key,
      route: last.route,
      endpoint: last.endpoint,
      upstream: `${last.provider}/${last.model}`,
      outcome: last.outcome,
      status: last.call_status || last.status,
      tries: inOrder.length,
      open: last.state === "open",
      duration_ms: (last.began_at - inOrder[0].began_at) * 1000 + (last.duration_ms || 0),
      first_token_ms: last.first_token_ms,
      cost_nanousd: sum(inOrder.map((one) => one.cost_nanousd)),
      tokens: (last.input_tokens || 0) + (last.output_tokens || 0),
    };
  });
}

export function callOfEvent(said) {
  const last = said.attempts.at(-1);
  return {
    id: said.request_id,
    at: said.at - said.duration_ms / 1000,
    key: said.key,
    route: said.route,
    endpoint: said.endpoint,
    upstream: last ? last.upstream : said.cached ? "cache" : "none",
    outcome: said.cached ? "cached" : said.hung_up ? "hung_up" : last ? last.outcome : "refused",
    status: said.status,
    tries: said.attempts.length,
    open: false,
    duration_ms: said.duration_ms,
    first_token_ms: null,
    cost_nanousd: said.cost_nanousd,
    tokens: null,
  };
}

export const trouble = (call) =>
  call.status >= 400 || call.tries > 1 || call.outcome === "hung_up" || (call.status === 0 && !call.open);

function sum(costs) {
  const known = costs.filter((one) => one !== null);
  return known.length ? known.reduce((total, one) => total + one, 0) : null;
}

// A command that makes such a call. The key stays in its variable; what was asked is not kept, so it has a place to fill.
export function curl(origin, { endpoint = "chat", model, messages, parameters = {}, stream = false }) {
  const body = { model, ...parameters, ...(stream ? { stream: true } : {}) };
  const asked = messages || [{ role: "user", content: "Hello" }];
  if (endpoint === "embeddings") body.input = asked.at(-1).content;
  else body.messages = asked;
  const path = { embeddings: "/v1/embeddings", messages: "/v1/messages" }[endpoint] || "/v1/chat/completions";
  const text = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl${stream ? " -N" : ""} ${origin}${path} \\\n  -H "Authorization: Bearer $GATEWAY_API_KEY" \\\n  -H 'content-type: application/json' \\\n  -d '${text}'`;
}
