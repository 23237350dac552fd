// One number.
import { el, fill } from "../dom.js";
import { fieldConfig, valueColor } from "../fields.js";
import { parts } from "../format.js";

/** Draws the panel into `body`; returns 1, or 0 when there is no number. */
export function drawStat(body, panel, answer) {
  const field = answer.frames.flatMap((frame) => frame.fields).find(({ type, values }) => type === "number" && values.some((value) => value !== null));
  if (!field) return 0;
  const config = fieldConfig(panel, field);
  const value = field.values.findLast((one) => one !== null);
  const { text, suffix } = parts(value, config.unit, config.decimals);
  const number = el("div", { class: "number" }, text, suffix ? el("small", {}, suffix) : null);
  const color = valueColor(config, value);
  if (color) number.style.color = color;
  fill(body, number);
  return 1;
}
