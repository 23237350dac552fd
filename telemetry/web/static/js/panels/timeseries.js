// Lines and stacked areas over time.
import { el, fill, plotText } from "../dom.js";
import { fieldConfig, seriesColor } from "../fields.js";
import { axisScale, format } from "../format.js";

const GRID = "#232b36";
const FONT = { family: 'system-ui, "DejaVu Sans", sans-serif', size: 11.5, color: "#8e99a8" };
export const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false };
export const HOVER = { bgcolor: "#2a323e", bordercolor: "#414d5c", font: { ...FONT, size: 12.5, color: "#d6dce5" }, align: "left", namelength: 40 };

// Plotly draws dates as if in UTC: times are moved by the reader's zone on the way in and back on the way out.
const toAxis = (ms) => ms - new Date(ms).getTimezoneOffset() * 60000;
const fromAxis = (shown) => {
  const ms = typeof shown === "number" ? shown : Date.parse(`${String(shown).replace(" ", "T")}Z`);
  return ms + new Date(ms).getTimezoneOffset() * 60000;
};

/** A colour with an opacity, for areas. */
function faded(color, opacity) {
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(color);
  return hex ? `rgba(${hex.slice(1).map((part) => parseInt(part, 16)).join(",")},${opacity})` : color;
}

function readSeries(panel, frames) {
  const series = [];
  for (const { fields } of frames) {
    const time = fields.find((field) => field.type === "time");
    for (const field of fields) {
      if (field.type !== "number" || !field.values.some((value) => value !== null)) continue;
      const config = fieldConfig(panel, field);
      series.push({ config, times: time?.values ?? [], values: field.values, color: seriesColor(config, series.length) });
    }
  }
  return orderLikeOverrides(panel, series);
}

/** Series with a place among the overrides come in that order, so that stacks keep theirs whatever is present. */
function orderLikeOverrides(panel, series) {
  const names = (panel.fieldConfig?.overrides ?? []).map((override) => override.matcher?.options);
  const place = (one) => (names.includes(one.config.name) ? names.indexOf(one.config.name) : names.length);
  return series.map((one, i) => [place(one), i, one]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , one]) => one);
}

/** Draws the panel into `body`; returns how many series there are. `actions.zoom(from, to)` is called for a dragged range. */
export function drawTimeseries(body, panel, answer, actions) {
  const series = readSeries(panel, answer.frames);
  if (!series.length) return 0;
  const custom = panel.fieldConfig?.defaults?.custom ?? {};
  const stacked = custom.stacking?.mode === "normal";
  let box = body.firstElementChild;
  if (!box?.classList.contains("chart")) {
    const right = panel.options?.legend?.placement === "right";
    box = el("div", { class: `chart${right ? " right" : ""}${stacked ? " filled" : ""}` }, el("div", { class: "plot" }), el("div", { class: "legend" }));
    fill(body, box);
    box.hiddenNames = new Set();
  }
  const [plot, legend] = box.children;
  const redraw = () => paint(plot, legend, panel, series, answer, box.hiddenNames, stacked, redraw);
  redraw();
  if (!plot.zooms) {
    plot.zooms = true;
    plot.on("plotly_relayout", (change) => {
      const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (from !== undefined && to !== undefined) actions.zoom(Math.floor(fromAxis(from)), Math.ceil(fromAxis(to)));
    });
  }
  return series.length;
}

function paint(plot, legend, panel, series, answer, hiddenNames, stacked, redraw) {
  const shown = series.filter((one) => !hiddenNames.has(one.config.name));
  const unit = panel.fieldConfig?.defaults?.unit ?? "";
  const scale = axisScale(unit, greatest(shown, stacked));
  const fillOpacity = (panel.fieldConfig?.defaults?.custom?.fillOpacity ?? 0) / 100;
  const traces = shown.map(({ config, times, values, color }) => ({
    type: "scatter",
    mode: values.filter((value) => value !== null).length > 1 ? "lines" : "markers",
    name: plotText(config.name),
    x: times.map(toAxis),
    y: values.map((value) => (value === null ? null : value / scale.by)),
    customdata: values.map((value) => format(value, unit, config.decimals)),
    hovertemplate: "%{customdata}<extra>%{fullData.name}</extra>",
    line: { color, width: Math.min(1.6, config.custom.lineWidth ?? 1) },
    connectgaps: false,
    ...(stacked ? { stackgroup: "one", stackgaps: "infer zero", fillcolor: faded(color, fillOpacity) } : {}),
  }));
  const minimum = panel.fieldConfig?.defaults?.min;
  const layout = {
    margin: { l: 66, r: 14, t: 6, b: 24 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: FONT,
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: HOVER,
    dragmode: "zoom",
    xaxis: { type: "date", range: [toAxis(answer.from), toAxis(answer.to)], gridcolor: GRID, linecolor: GRID, zeroline: false, tickformatstops: TICKS, hoverformat: "%H:%M:%S", nticks: Math.max(3, Math.floor(plot.clientWidth / 90)), tickangle: 0, spikecolor: "#77839a", spikethickness: -1, spikedash: "solid" },
    yaxis: { gridcolor: GRID, zeroline: false, rangemode: minimum === 0 ? "tozero" : "normal", ticksuffix: scale.suffix, fixedrange: true, nticks: 6, ticklabelstandoff: 6, separatethousands: true },
  };
  // The legend first: it takes its height from the plot.
  fill(legend, series.map((one) => legendItem(one, series, hiddenNames, redraw)));
  Plotly.react(plot, traces, layout, CONFIG);
}

const TICKS = [
  { dtickrange: [null, 1000], value: "%H:%M:%S.%L" },
  { dtickrange: [1000, 60000], value: "%H:%M:%S" },
  { dtickrange: [60000, 86400000], value: "%H:%M" },
  { dtickrange: [86400000, null], value: "%b %d" },
];

/** A click shows this series alone, a second one all again; with Ctrl or Shift it only hides or shows this one. */
function legendItem(one, series, hiddenNames, redraw) {
  const { name } = one.config;
  const pick = (event) => {
    const others = series.map((other) => other.config.name).filter((other) => other !== name);
    if (event.ctrlKey || event.metaKey || event.shiftKey) {
      if (!hiddenNames.delete(name)) hiddenNames.add(name);
    } else if (!hiddenNames.has(name) && others.length && others.every((other) => hiddenNames.has(other))) hiddenNames.clear();
    else {
      hiddenNames.clear();
      others.forEach((other) => hiddenNames.add(other));
    }
    redraw();
  };
  const swatch = el("i");
  swatch.style.background = one.color;
  return el("button", { type: "button", class: hiddenNames.has(name) ? "off" : "", title: name, click: pick }, swatch, el("span", {}, name));
}

function greatest(series, stacked) {
  if (!stacked) return Math.max(0, ...series.map(({ values }) => values.reduce((most, value) => Math.max(most, Math.abs(value ?? 0)), 0)));
  const sums = new Map();
  for (const { times, values } of series) times.forEach((time, i) => sums.set(time, (sums.get(time) ?? 0) + (values[i] ?? 0)));
  let most = 0;
  for (const sum of sums.values()) most = Math.max(most, sum);
  return most;
}
