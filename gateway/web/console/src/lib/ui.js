// Markup and state: what every module needs of the vendored libraries, under one roof.
import { h, render, Fragment } from "preact";
import { useState, useEffect, useRef, useMemo } from "preact/hooks";
import { signal, computed, effect, batch } from "@preact/signals";
import htm from "htm";

export const html = htm.bind(h);
export { render, Fragment, useState, useEffect, useRef, useMemo, signal, computed, effect, batch };
