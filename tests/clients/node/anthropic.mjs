// Anthropic's SDK for Node.

import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import * as c from "./checks.mjs";

const Person = z.object({ name: z.string(), born: z.number() });

function messages(url, model) {
  const client = new Anthropic({ baseURL: url, apiKey: c.KEY, maxRetries: 0, timeout: c.PATIENCE_MS });
  const asked = (content, more = {}) => ({ model, max_tokens: 1000, messages: [{ role: "user", content }], ...more });
  const create = (content, more) => client.messages.create(asked(content, more));
  const final = (content, more) => client.messages.stream(asked(content, more)).finalMessage();
  return {
    async plain() {
      const answer = await create(c.SAY_HELLO, { system: "Be kind." });
      c.same([answer.content[0].text, answer.stop_reason], [c.HELLO, "end_turn"]);
    },
    async stream() {
      const pieces = [];
      const stream = client.messages.stream(asked(c.SAY_HELLO)).on("text", (piece) => pieces.push(piece));
      c.same((await stream.finalMessage()).content[0].text, c.HELLO);
      c.same([pieces.join(""), pieces.length], [c.HELLO, 4]);
    },
    async usage() {
      for (const { usage } of [await create(c.SAY_HELLO), await final(c.SAY_HELLO)]) {
        c.same([usage.input_tokens, usage.cache_read_input_tokens], [c.INPUT_TOKENS - 3, 3]);
        c.same(usage.output_tokens, c.OUTPUT_TOKENS);
      }
    },
    async tools() {
      const tools = [{ name: "weather", input_schema: c.WEATHER_SCHEMA }];
      for (const answer of [await create(c.WEATHER, { tools }), await final(c.WEATHER, { tools })]) {
        const uses = answer.content.filter((block) => block.type === "tool_use");
        c.same(uses.map((use) => use.input), [{ city: "Oslo" }, { city: "Lima" }]);
        const content = uses.map((use) => ({
          type: "tool_result",
          tool_use_id: use.id,
          content: c.weather(use.input.city),
        }));
        const turns = [
          { role: "user", content: c.WEATHER },
          { role: "assistant", content: answer.content },
          { role: "user", content },
        ];
        c.measured((await create("", { messages: turns, tools })).content[0].text);
      }
    },
    async structured() {
      const output_config = { format: zodOutputFormat(Person) };
      c.same((await client.messages.parse(asked(c.WHO, { output_config }))).parsed_output, c.ADA);
    },
    async images() {
      const source = { type: "base64", media_type: "image/png", data: c.PNG };
      const answer = await create([
        { type: "text", text: c.LOOK },
        { type: "image", source },
      ]);
      c.same(answer.content[0].text, c.SEEN);
    },
    async errors() {
      const limited = await c.raises(() => create(c.TOO_OFTEN), Anthropic.RateLimitError);
      c.same(limited.headers.get("retry-after"), c.RETRY_AFTER_S);
      await c.raises(() => create(c.TOO_LONG), Anthropic.BadRequestError);
      await c.raises(() => final(c.BREAK_OFF), Anthropic.APIError);
    },
    async models() {
      c.same((await c.all(client.models.list())).some((one) => one.id === model), true);
    },
  };
}

await c.main(c.versionOf("@anthropic-ai/sdk"), { messages });
