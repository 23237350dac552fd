// A bar a row, named by the row's text.
import { el, fill } from "../dom.js";
import { fieldConfig, valueColor } from "../fields.js";
import { format } from "../format.js";

/** Draws the panel into `body`; returns the number of bars. */
export function drawBarGauge(body, panel, answer) {
  const fields = answer.frames[0]?.fields ?? [];
  const number = fields.find((field) => field.type === "number");
  const names = fields.find((field) => field.type === "string");
  if (!number?.values.length) return 0;
  const config = fieldConfig(panel, number);
  const most = config.max ?? Math.max(...number.values.map((value) => value ?? 0));
  fill(
    body,
    el(
      "div",
      { class: "gauges" },
      number.values.map((value, i) => {
        const name = names?.values[i] ?? config.name;
        const bar = el("div", {}, el("span", { class: "name", title: name }, name), el("i"), el("span", {}, format(value, config.unit, config.decimals)));
        bar.style.setProperty("--share", `${most > 0 ? (100 * (value ?? 0)) / most : 0}%`);
        bar.style.setProperty("--color", (config.color?.mode === "fixed" ? config.color.fixedColor : valueColor(config, value)) ?? "#5b8fd6");
        return bar;
      }),
    ),
  );
  return number.values.length;
}
