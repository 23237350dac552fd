// Rows and columns; a click on a head sorts.
import { el, fill } from "../dom.js";
import { fieldConfig, mapping, valueColor } from "../fields.js";
import { format } from "../format.js";
import { linkAddress, linkTitle } from "../links.js";

/** Draws the panel into `body`; returns the number of rows. */
export function drawTable(body, panel, answer, actions) {
  const fields = answer.frames[0]?.fields ?? [];
  const count = fields[0]?.values.length ?? 0;
  if (!count) return 0;
  const columns = fields.map((field) => ({ field, config: fieldConfig(panel, field), most: greatest(field) }));
  let box = body.firstElementChild;
  if (!box?.classList.contains("tablebox")) {
    box = el("div", { class: "tablebox" });
    fill(body, box);
    box.sorting = { name: null, down: true };
  }
  const order = sorted(columns, count, box.sorting);
  const { scrollTop, scrollLeft } = box;
  const again = () => drawTable(body, panel, answer, actions);
  fill(
    box,
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, columns.map((column) => head(column, box.sorting, again)))),
      el("tbody", {}, order.map((row) => el("tr", {}, columns.map((column) => cell(column, row, fields, actions))))),
    ),
  );
  box.scrollTop = scrollTop;
  box.scrollLeft = scrollLeft;
  return count;
}

function greatest(field) {
  return field.type === "number" ? field.values.reduce((most, value) => Math.max(most, value ?? 0), 0) : 0;
}

function sorted(columns, count, sorting) {
  const order = [...Array(count).keys()];
  const values = columns.find(({ field }) => field.name === sorting.name)?.field.values;
  if (!values) return order;
  const compare = (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : (a < b ? -1 : 1) * (sorting.down ? -1 : 1));
  return order.sort((a, b) => compare(values[a], values[b]) || a - b);
}

function head({ field, config }, sorting, again) {
  const sort = () => {
    sorting.down = sorting.name === field.name ? !sorting.down : field.type === "number";
    sorting.name = field.name;
    again();
  };
  const mine = sorting.name === field.name;
  const th = el("th", { class: field.type === "number" ? "number" : null, scope: "col", "aria-sort": mine ? (sorting.down ? "descending" : "ascending") : null }, el("button", { type: "button", click: sort }, config.name));
  if (config.custom.width) th.style.width = `${config.custom.width}px`;
  return th;
}

function cell({ field, config, most }, row, fields, actions) {
  const value = field.values[row];
  const text = mapping(config, value)?.text ?? format(value, field.type === "time" ? config.unit ?? "time:" : config.unit, config.decimals);
  const kind = config.custom.cellOptions?.type;
  const td = el("td", { class: field.type === "number" ? "number" : null, title: field.type === "string" ? text : null });
  if (config.custom.width) td.style.maxWidth = `${config.custom.width}px`;
  const link = value !== "" && value !== null ? config.links?.[0] : null;
  const target = link ? linkAddress(link.url, value, Object.fromEntries(fields.map((other) => [other.name, other.values[row]])), actions.state()) : null;
  if (target) td.append(el("a", { href: target, title: linkTitle(link.title ?? "", value) }, text));
  else if (kind === "gauge" && value !== null) td.append(gauge(value, config.max ?? most, config, text));
  else td.append(text);
  if (kind === "color-text") td.style.color = valueColor(config, value) ?? "";
  return td;
}

function gauge(value, most, config, text) {
  const bar = el("div", { class: "bar" }, el("i"), el("span", {}, text));
  bar.style.setProperty("--share", `${most > 0 ? Math.min(100, (100 * value) / most) : 0}%`);
  bar.style.setProperty("--color", (config.color?.mode === "fixed" ? config.color.fixedColor : valueColor(config, value)) ?? "#5b8fd6");
  return bar;
}
