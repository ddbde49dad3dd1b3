// A chat over the gateway's own endpoint, streamed: what the playground shows of it.
import { get, tokens, Refused } from "./api.js";
import { listen } from "./live.js";

// `onText(text)` hears each piece. Returns { text, thinking, finish, usage, headers, first_ms, total_ms }.
export async function chat({ model, messages, parameters }, { onText, signal }) {
  const began = performance.now();
  let first = null;
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    credentials: "same-origin",
    signal,
    headers: { "content-type": "application/json", ...tokens() },
    body: JSON.stringify({ ...parameters, model, messages, stream: true, stream_options: { include_usage: true } }),
  });
  const headers = Object.fromEntries(response.headers);
  if (!response.ok) throw new Refused(response.status, (await response.json().catch(() => ({}))).error);
  const found = { text: "", thinking: "", finish: "", usage: null };
  const take = (said) => {
    if (said.error) throw new Refused(response.status, said.error);
    const choice = said.choices?.[0];
    const delta = choice?.delta || choice?.message || {};
    if (delta.content || delta.reasoning_content) first ??= performance.now() - began;
    found.text += delta.content || "";
    found.thinking += delta.reasoning_content || "";
    found.finish = choice?.finish_reason || found.finish;
    found.usage = said.usage || found.usage;
    onText({ ...found });
  };
  if (!headers["content-type"]?.startsWith("text/event-stream")) take(await response.json());
  else for await (const data of eventsOf(response.body)) if (data !== "[DONE]") take(JSON.parse(data));
  return { ...found, headers, first_ms: first, total_ms: performance.now() - began };
}

// The data of each event of a stream. An event may arrive in any pieces.
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += done ? "\n\n" : value;
    const events = rest.split(/\r?\n\r?\n/);
    rest = events.pop();
    for (const event of events) {
      const data = event
        .split(/\r?\n/)
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart())
        .join("\n");
      if (data) yield data;
    }
    if (done) return;
  }
}

// The costs of the latest calls, as the gateway tells them at each end.
const costs = new Map();
const waiting = new Map();
const MOST_COSTS = 500;
const TOLD_WITHIN_MS = 4000;

listen((kind, said) => {
  if (kind !== "call") return;
  costs.set(said.request_id, said.cost_nanousd);
  if (costs.size > MOST_COSTS) costs.delete(costs.keys().next().value);
  waiting.get(said.request_id)?.(said.cost_nanousd);
});

// What a call cost: from the event of its end, else from the ledger. null if neither says.
export async function costOf(requestId) {
  if (costs.has(requestId)) return costs.get(requestId);
  const told = await new Promise((resolve) => {
    waiting.set(requestId, resolve);
    setTimeout(() => resolve(null), TOLD_WITHIN_MS);
  });
  waiting.delete(requestId);
  if (told !== null) return told;
  const said = await get(`/calls/${encodeURIComponent(requestId)}`).catch(() => null);
  return said && said.data.reduce((total, one) => total + (one.cost_nanousd || 0), 0);
}

// English has about four characters to a token; other languages have fewer. It is an estimate, and shown as one.
export const roughTokens = (text) => Math.ceil(text.length / 4);
