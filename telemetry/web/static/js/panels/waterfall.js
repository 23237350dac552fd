// Horizontal bars made of segments; a segment without colour is only an offset.
import { el, fill, plotText } from "../dom.js";
import { fieldConfig, seriesColor } from "../fields.js";
import { axisScale, format } from "../format.js";
import { CONFIG, HOVER } from "./timeseries.js";

const GRID = "#232b36";

/** Draws the panel into `body`; returns the number of bars. */
export function drawWaterfall(body, panel, answer) {
  const fields = answer.frames[0]?.fields ?? [];
  const names = fields.find((field) => field.type === "string");
  const numbers = fields.filter((field) => field.type === "number");
  const count = names?.values.length ?? 0;
  if (!count) return 0;
  const unit = panel.fieldConfig?.defaults?.unit ?? "";
  const ends = names.values.map((_, row) => numbers.reduce((sum, field) => sum + (field.values[row] ?? 0), 0));
  const scale = axisScale(unit, Math.max(...ends));
  let box = body.firstElementChild;
  if (!box?.classList.contains("chart")) {
    box = el("div", { class: "chart filled" }, el("div", { class: "plot" }), el("div", { class: "legend" }));
    fill(body, box);
  }
  const [plot, legend] = box.children;
  const shown = [];
  const thick = Math.min(0.66, (28 * count) / Math.max(1, plot.clientHeight - 34));
  const traces = numbers.map((field, n) => {
    const config = fieldConfig(panel, field);
    const unseen = config.custom.hideFrom?.legend === true;
    const color = unseen ? "rgba(0,0,0,0)" : seriesColor(config, n);
    if (!unseen) shown.push([config.name, color]);
    return {
      type: "bar",
      orientation: "h",
      name: plotText(config.name),
      y: names.values.map((_, row) => row),
      x: field.values.map((value) => (value ?? 0) / scale.by),
      customdata: field.values.map((value) => format(value, unit)),
      hovertemplate: "%{fullData.name}: %{customdata}<extra></extra>",
      hoverinfo: unseen ? "skip" : undefined,
      ...(unseen ? { hovertemplate: undefined } : {}),
      width: thick,
      marker: { color, line: { width: 0 } },
    };
  });
  const narrow = plot.clientWidth < 560;
  const layout = {
    barmode: "stack",
    margin: { l: 10, r: 20, t: 6, b: 28 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: 'system-ui, "DejaVu Sans", sans-serif', size: 12, color: "#8e99a8" },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: HOVER,
    dragmode: false,
    xaxis: { gridcolor: GRID, zeroline: false, ticksuffix: scale.suffix, fixedrange: true, rangemode: "tozero", nticks: narrow ? 4 : 10 },
    yaxis: {
      autorange: "reversed",
      automargin: true,
      fixedrange: true,
      tickmode: "array",
      tickvals: names.values.map((_, row) => row),
      ticktext: names.values.map((name) => `${plotText(narrow && name.length > 24 ? `${name.slice(0, 23)}…` : name)}  `),
      tickfont: { size: narrow ? 10.5 : 12.5, color: "#d6dce5" },
      showgrid: false,
    },
  };
  // The legend first: it takes its height from the plot.
  fill(legend, shown.map(([name, color]) => {
    const swatch = el("i");
    swatch.style.background = color;
    return el("span", { class: "key" }, swatch, name);
  }));
  Plotly.react(plot, traces, layout, CONFIG);
  return count;
}
