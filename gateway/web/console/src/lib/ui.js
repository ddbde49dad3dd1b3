// Markup and state: what every module needs of the vendored libraries, under one roof.
import { h, render, Fragment } from "preact";
import { useState, useEffect, useRef, useMemo } from "preact/hooks";
import { signal, computed, effect, batch } from "@preact/signals";
import htm from "htm";

// Markup whose line breaks mean what they mean in HTML: a space. htm alone would drop them, and the space with them.
const read = htm.bind(h);
const spaced = new WeakMap();

export function html(statics, ...values) {
  let parts = spaced.get(statics);
  if (!parts) {
    parts = statics.map((part) => part.replace(/\s*\n\s*/g, " "));
    parts[0] = parts[0].trimStart();
    parts[parts.length - 1] = parts.at(-1).trimEnd();
    spaced.set(statics, parts);
  }
  return read(parts, ...values);
}

export { render, Fragment, useState, useEffect, useRef, useMemo, signal, computed, effect, batch };
