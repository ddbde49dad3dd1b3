// An experiment as the configuration writes it, and as a form has it.
const usual = { model: "", params: {}, weight: 1 };
const said = (value) => (typeof value === "string" ? { model: value } : value);

// A share may be written as 0.2 or 20%.
const fraction = (value) =>
  typeof value === "string" && value.trim().endsWith("%") ? parseFloat(value) / 100 : Number(value ?? 1);

// With every field, and arms as a list: the first is the one that the others are compared with.
export const whole = (value) => ({
  on: value.on,
  share: fraction(value.share),
  written_share: value.share === undefined || value.share === null ? "" : String(value.share),
  sticky: value.sticky || "session",
  arms: Object.entries(value.arms || {}).map(([name, arm]) => ({ ...usual, ...said(arm), name })),
  mirror: value.mirror ? { ...usual, at_once: 4, ...said(value.mirror) } : null,
});

// Parameters, or the name of a preset, as one line of text.
export const parametersOf = ({ params }) =>
  typeof params === "string" ? params : Object.keys(params || {}).length ? JSON.stringify(params) : "";

// The other way. Raises a SyntaxError at what is no JSON.
export const readParameters = (text) => {
  const trimmed = text.trim();
  return /^[[{"]/.test(trimmed) ? JSON.parse(trimmed) : trimmed;
};
