// Run the checks of a client and print a line for each, as programs/checks.py does. No client is imported here.

import { readFileSync } from "node:fs";
import { isDeepStrictEqual, inspect } from "node:util";

export const KEY = process.env.GATEWAY_KEY ?? "no key";
export const PATIENCE_MS = 20_000;

export const HELLO = "Hello there, dear client.";
export const ADA = { name: "Ada Lovelace", born: 1815 };
export const [INPUT_TOKENS, OUTPUT_TOKENS] = [11, 7];
export const RETRY_AFTER_S = "17";

export const SAY_HELLO = "Say hello.";
export const WEATHER = "What is the weather in Oslo and in Lima?";
export const WHO = "Who was Ada? Answer as you are told.";
export const LOOK = "What is in the picture?";
export const [TOO_OFTEN, TOO_LONG, BREAK_OFF] = ["I ask too often.", "I ask too long a question.", "Please break off."];

export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const PNG_URL = `data:image/png;base64,${PNG}`;
export const SEEN = `I see: image/png, ${Buffer.from(PNG, "base64").length} bytes`;

export const WEATHER_SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

export const weather = (city) => `${{ Oslo: 4, Lima: 19 }[city]} degrees in ${city}`;

export function same(found, wanted) {
  if (!isDeepStrictEqual(found, wanted)) throw new Error(`${inspect(found)} is not ${inspect(wanted)}`);
}

export function measured(text) {
  for (const city of ["Oslo", "Lima"])
    if (!text.includes(weather(city))) throw new Error(`no weather of ${city} in ${text}`);
}

// Return the error that an act must raise; `kind`, if given, is its class.
export async function raises(act, kind = Error) {
  let found;
  try {
    found = await act();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`no ${kind.name} but ${inspect(found)}`);
}

export async function all(iterable) {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found;
}

export const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), "utf8")).version;

// `surfaces`: by name, a function of a URL and a model that returns the checks by name.
export async function main(version, surfaces) {
  const [url, ...runs] = process.argv.slice(2);
  console.log(JSON.stringify({ version }));
  for (const run of runs) {
    const [surface, model] = run.split("@");
    for (const [check, act] of Object.entries(surfaces[surface](url, model))) {
      let error = null;
      try {
        await act();
      } catch (caught) {
        error = `${caught?.name}: ${caught?.message} ${caught?.stack?.split("\n").slice(1, 4).join(" ")}`.slice(0, 2000);
      }
      console.log(JSON.stringify({ run, check, error }));
    }
  }
  process.exit(0);
}
