// Vercel's AI SDK with three of its providers: OpenAI (responses), Anthropic (messages), OpenAI-compatible (chat).

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import * as c from "./checks.mjs";

const Person = z.object({ name: z.string(), born: z.number() });

function checks(model) {
  const asked = (prompt, more = {}) => ({ model, prompt, maxRetries: 0, ...more });
  // Errors in a stream go to `onError`; what it throws is lost.
  async function streamed(prompt, more) {
    const failures = [];
    const stream = streamText(asked(prompt, { onError: ({ error }) => failures.push(error), ...more }));
    const pieces = await c.all(stream.textStream);
    if (failures.length) throw failures[0];
    return { pieces, usage: await stream.usage };
  }
  return {
    async plain() {
      const answer = await generateText(asked(c.SAY_HELLO));
      c.same([answer.text, answer.finishReason], [c.HELLO, "stop"]);
    },
    async stream() {
      const { pieces } = await streamed(c.SAY_HELLO);
      c.same([pieces.join(""), pieces.filter(Boolean).length], [c.HELLO, 4]);
    },
    async usage() {
      for (const { usage } of [await generateText(asked(c.SAY_HELLO)), await streamed(c.SAY_HELLO)])
        c.same([usage.inputTokens, usage.outputTokens], [c.INPUT_TOKENS, c.OUTPUT_TOKENS]);
    },
    async tools() {
      const weather = tool({
        description: "The weather",
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => c.weather(city),
      });
      const more = { tools: { weather }, stopWhen: stepCountIs(3) };
      c.measured((await generateText(asked(c.WEATHER, more))).text);
      c.measured((await streamed(c.WEATHER, more)).pieces.join(""));
    },
    async structured() {
      const output = Output.object({ schema: Person });
      c.same((await generateText(asked(c.WHO, { output }))).output, c.ADA);
    },
    async images() {
      const content = [
        { type: "text", text: c.LOOK },
        { type: "image", image: Buffer.from(c.PNG, "base64"), mediaType: "image/png" },
      ];
      const messages = [{ role: "user", content }];
      c.same((await generateText({ model, messages, maxRetries: 0 })).text, c.SEEN);
    },
    async errors() {
      for (const [said, status] of [[c.TOO_OFTEN, 429], [c.TOO_LONG, 400]]) {
        const refused = await c.raises(() => generateText(asked(said)), APICallError);
        c.same(refused.statusCode, status);
        if (status === 429) c.same(refused.responseHeaders["retry-after"], c.RETRY_AFTER_S);
      }
      let failed = null;
      try {
        await streamed(c.BREAK_OFF);
      } catch (error) {
        failed = error; // an Error, or the bare object of the event
      }
      c.same(failed !== null, true);
    },
  };
}

function chat(url, model) {
  const settings = { name: "gateway", baseURL: `${url}/v1`, apiKey: c.KEY };
  const provider = createOpenAICompatible({ ...settings, includeUsage: true, supportsStructuredOutputs: true });
  return {
    ...checks(provider.chatModel(model)),
    async embeddings() {
      const embedder = provider.embeddingModel(model);
      const found = await embedMany({ model: embedder, values: ["one", "three"], maxRetries: 0 });
      c.same(found.embeddings, [[0, 3], [1, 5]]);
    },
  };
}

const responses = (url, model) => checks(createOpenAI({ baseURL: `${url}/v1`, apiKey: c.KEY })(model));
const messages = (url, model) => checks(createAnthropic({ baseURL: `${url}/v1`, apiKey: c.KEY })(model));

await c.main(c.versionOf("ai"), { chat, responses, messages });
