// OpenAI's SDK for Node: chat completions and responses.

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import * as c from "./checks.mjs";

const Person = z.object({ name: z.string(), born: z.number() });
const clientOf = (url) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: c.KEY, maxRetries: 0, timeout: c.PATIENCE_MS });
const cityOf = (written) => JSON.parse(written).city;

function chat(url, model) {
  const client = clientOf(url);
  const create = (content, more = {}) =>
    client.chat.completions.create({ model, messages: [{ role: "user", content }], ...more });
  return {
    async plain() {
      const { message, finish_reason } = (await create(c.SAY_HELLO)).choices[0];
      c.same([message.content, finish_reason], [c.HELLO, "stop"]);
    },
    async stream() {
      const chunks = await c.all(await create(c.SAY_HELLO, { stream: true }));
      const pieces = chunks.map((chunk) => chunk.choices[0].delta.content).filter(Boolean);
      c.same([pieces.join(""), pieces.length], [c.HELLO, 4]);
    },
    async usage() {
      const chunks = await c.all(
        await create(c.SAY_HELLO, { stream: true, stream_options: { include_usage: true } }),
      );
      for (const { usage } of [await create(c.SAY_HELLO), chunks.at(-1)])
        c.same([usage.prompt_tokens, usage.completion_tokens], [c.INPUT_TOKENS, c.OUTPUT_TOKENS]);
    },
    async tools() {
      const run = {
        model,
        messages: [{ role: "user", content: c.WEATHER }],
        tools: [
          {
            type: "function",
            function: {
              name: "weather",
              parse: JSON.parse,
              parameters: c.WEATHER_SCHEMA,
              function: ({ city }) => c.weather(city),
            },
          },
        ],
      };
      c.measured(await client.chat.completions.runTools(run).finalContent());
      c.measured(await client.chat.completions.runTools({ ...run, stream: true }).finalContent());
    },
    async structured() {
      const answer = await client.chat.completions.parse({
        model,
        messages: [{ role: "user", content: c.WHO }],
        response_format: zodResponseFormat(Person, "person"),
      });
      c.same(answer.choices[0].message.parsed, c.ADA);
    },
    async images() {
      const parts = [
        { type: "text", text: c.LOOK },
        { type: "image_url", image_url: { url: c.PNG_URL } },
      ];
      c.same((await create(parts)).choices[0].message.content, c.SEEN);
    },
    async errors() {
      const limited = await c.raises(() => create(c.TOO_OFTEN), OpenAI.RateLimitError);
      c.same(limited.headers.get("retry-after"), c.RETRY_AFTER_S);
      c.same((await c.raises(() => create(c.TOO_LONG), OpenAI.BadRequestError)).code, "context_length_exceeded");
      await c.raises(async () => c.all(await create(c.BREAK_OFF, { stream: true })), OpenAI.APIError);
    },
    async embeddings() {
      const found = await client.embeddings.create({ model, input: ["one", "three"] });
      c.same(found.data.map((one) => Array.from(one.embedding)), [[0, 3], [1, 5]]);
    },
    async models() {
      c.same((await c.all(client.models.list())).some((one) => one.id === model), true);
    },
  };
}

function responses(url, model) {
  const client = clientOf(url);
  const create = (input, more = {}) => client.responses.create({ model, input, ...more });
  return {
    async plain() {
      const answer = await create(c.SAY_HELLO, { instructions: "Be kind." });
      c.same([answer.output_text, answer.status], [c.HELLO, "completed"]);
    },
    async stream() {
      const events = await c.all(await create(c.SAY_HELLO, { stream: true }));
      const pieces = events.filter((one) => one.type === "response.output_text.delta").map((one) => one.delta);
      c.same([pieces.join(""), pieces.length], [c.HELLO, 4]);
      const final = await client.responses.stream({ model, input: c.SAY_HELLO }).finalResponse();
      c.same(final.output_text, c.HELLO);
    },
    async usage() {
      const last = (await c.all(await create(c.SAY_HELLO, { stream: true }))).at(-1);
      for (const { usage } of [await create(c.SAY_HELLO), last.response])
        c.same([usage.input_tokens, usage.output_tokens], [c.INPUT_TOKENS, c.OUTPUT_TOKENS]);
    },
    async tools() {
      const tools = [{ type: "function", name: "weather", parameters: c.WEATHER_SCHEMA, strict: false }];
      const question = { role: "user", content: c.WEATHER };
      const said = await create([question], { tools });
      const streamed = await client.responses.stream({ model, input: [question], tools }).finalResponse();
      for (const answer of [said, streamed]) {
        const calls = answer.output.filter((one) => one.type === "function_call");
        c.same(calls.map((one) => cityOf(one.arguments)), ["Oslo", "Lima"]);
        const sent = calls.map(({ type, call_id, name, arguments: written }) => ({
          type, call_id, name, arguments: written,
        }));
        const results = calls.map((one) => ({
          type: "function_call_output",
          call_id: one.call_id,
          output: c.weather(cityOf(one.arguments)),
        }));
        c.measured((await create([question, ...sent, ...results], { tools })).output_text);
      }
    },
    async structured() {
      const text = { format: zodTextFormat(Person, "person") };
      c.same((await client.responses.parse({ model, input: c.WHO, text })).output_parsed, c.ADA);
    },
    async images() {
      const content = [
        { type: "input_text", text: c.LOOK },
        { type: "input_image", image_url: c.PNG_URL, detail: "auto" },
      ];
      c.same((await create([{ role: "user", content }])).output_text, c.SEEN);
    },
    async errors() {
      const limited = await c.raises(() => create(c.TOO_OFTEN), OpenAI.RateLimitError);
      c.same(limited.headers.get("retry-after"), c.RETRY_AFTER_S);
      c.same((await c.raises(() => create(c.TOO_LONG), OpenAI.BadRequestError)).code, "context_length_exceeded");
      await c.raises(async () => {
        const events = await c.all(await create(c.BREAK_OFF, { stream: true }));
        if (["response.failed", "error"].includes(events.at(-1).type)) throw new Error("it failed, as it should");
        return events.at(-1);
      });
    },
  };
}

await c.main(c.versionOf("openai"), { chat, responses });
