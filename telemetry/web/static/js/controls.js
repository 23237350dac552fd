// Pickers of variables, time range and refresh.
import { el, fill } from "./dom.js";
import { clock, localDate } from "./format.js";
import { ALL } from "./state.js";

const REFRESHES = ["off", "5s", "10s", "30s", "1m", "5m"];

/** Closes open menus on a click elsewhere or Escape. */
export function closeMenusOutside() {
  const close = (except) => document.querySelectorAll("details.picker[open]").forEach((menu) => menu !== except && menu.removeAttribute("open"));
  document.addEventListener("click", (event) => close(event.target.closest("details.picker")));
  document.addEventListener("keydown", (event) => event.key === "Escape" && close(null));
}

/** A picker a variable; `change(name, values)` is called with what was chosen. */
export function variablePickers(node, variables, state, options, change) {
  fill(node, variables.filter((variable) => !variable.hidden).map((variable) => {
    const values = state.values[variable.name] ?? variable.default;
    if (variable.kind === "textbox") return textbox(variable, values[0] ?? "", change);
    return picker(variable, values, options[variable.name] ?? [], change);
  }));
}

function textbox(variable, value, change) {
  const input = el("input", { type: "text", value, spellcheck: "false", autocomplete: "off", maxlength: 200, placeholder: "the slowest request", "aria-label": variable.label });
  const commit = () => input.value.trim() !== value && change(variable.name, [input.value.trim()]);
  input.addEventListener("change", commit);
  const clear = value ? el("button", { type: "button", title: "Clear", click: () => change(variable.name, [""]) }, "×") : null;
  return el("label", { class: "control textbox", title: variable.description }, el("span", { class: "label" }, variable.label), input, clear);
}

function picker(variable, values, options, change) {
  const all = values.length === 1 && values[0] === ALL;
  const listed = [...new Set([...options, ...values.filter((value) => value !== ALL)])];
  const chosen = new Set(all ? [] : values);
  const text = all ? "All" : values.length > 2 ? `${values.length} chosen` : values.join(", ");
  const list = el("div", { class: "list" });
  const pick = (value) => {
    if (value === ALL) return change(variable.name, [ALL]);
    if (!variable.multi) return change(variable.name, [value]);
    if (!chosen.delete(value)) chosen.add(value);
    return change(variable.name, chosen.size ? [...chosen] : [ALL]);
  };
  const item = (value, label, checked) =>
    el("label", {}, el("input", { type: variable.multi ? "checkbox" : "radio", checked, change: () => pick(value) }), el("span", {}, label));
  const show = (part) => {
    const found = listed.filter((value) => value.toLowerCase().includes(part.toLowerCase()));
    fill(list, variable.includeAll && !part ? item(ALL, "All", all) : null, found.map((value) => item(value, value, chosen.has(value))), found.length || !part ? null : el("div", { class: "none" }, "Nothing matches"));
  };
  show("");
  const filter = listed.length > 8 ? el("input", { class: "filter", type: "search", placeholder: "Filter", "aria-label": `Filter ${variable.label}`, input: (event) => show(event.target.value) }) : null;
  return el(
    "details",
    { class: "picker", "data-variable": variable.name },
    el("summary", { class: `control${all ? "" : " set"}`, title: all ? "" : values.join(", ") }, el("span", { class: "label" }, variable.label), el("span", { class: "value" }, text)),
    el("div", { class: "menu" }, filter, list),
  );
}

/** Ranges to now, own ranges, refresh; `change(patch)` is called with the new part of the state. */
export function timePickers(node, ranges, state, change) {
  const buttons = ranges.map((range) => {
    const pressed = state.from === `now-${range}` && state.to === "now";
    return el("button", { type: "button", "aria-pressed": String(pressed), click: () => change({ from: `now-${range}`, to: "now" }) }, range);
  });
  fill(node, el("div", { class: "segments", role: "group", "aria-label": "Last" }, buttons), ownRange(state, change), refresh(state, change));
}

function ownRange(state, change) {
  const fixed = /^\d+$/.test(state.from) && /^\d+$/.test(state.to);
  const from = el("input", { type: "datetime-local", step: 1, value: localDate(fixed ? Number(state.from) : Date.now() - 36e5) });
  const to = el("input", { type: "datetime-local", step: 1, value: localDate(fixed ? Number(state.to) : Date.now()) });
  const apply = () => {
    const [start, end] = [new Date(from.value).getTime(), new Date(to.value).getTime()];
    if (start < end) change({ from: String(start), to: String(end) });
  };
  const label = fixed ? `${clock(Number(state.from))} to ${clock(Number(state.to))}` : "Range";
  return el(
    "details",
    { class: "picker" },
    el("summary", { class: `control${fixed ? " set" : ""}` }, el("span", { class: "value" }, label)),
    el("div", { class: "menu" }, el("div", { class: "dates" }, el("label", {}, "From", from), el("label", {}, "To", to), el("button", { type: "button", class: "control", click: apply }, "Apply"))),
  );
}

function refresh(state, change) {
  const choices = REFRESHES.includes(state.refresh) ? REFRESHES : [...REFRESHES, state.refresh];
  const items = choices.map((value) => el("label", {}, el("input", { type: "radio", name: "refresh", checked: value === state.refresh, change: () => change({ refresh: value }) }), el("span", {}, value)));
  return el("details", { class: "picker" }, el("summary", { class: "control" }, el("span", { class: "label" }, "Refresh"), el("span", { class: "value" }, state.refresh)), el("div", { class: "menu" }, el("div", { class: "list" }, items)));
}
