// A chat over the gateway's own endpoint, streamed: what the playground shows of it.
import { get, tokens, Refused } from "./api.js";

// `onText(text)` hears each piece. Returns { text, thinking, finish, usage, headers, first_ms, total_ms }.
export async function chat({ model, messages, parameters }, { onText, signal }) {
  const began = performance.now();
  let first = null;
  const response = await fetch("/v1/chat/completions", {
    method: "POST", credentials: "same-origin", signal,
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
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data) yield data;
    }
    if (done) return;
  }
}

// What the call cost, once the ledger has it. null if it does not say.
export async function costOf(requestId) {
  for (let turn = 0; turn < 8; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 250 * (turn + 1)));
    const said = await get(`/calls/${encodeURIComponent(requestId)}`).catch(() => null);
    if (said && said.data.every((one) => one.state !== "open")) return said.data.reduce((total, one) => total + (one.cost_nanousd || 0), 0);
  }
  return null;
}

// English has about four characters to a token; other languages have fewer. It is an estimate, and shown as one.
export const roughTokens = (text) => Math.ceil(text.length / 4);
