// One panel: its frame, and loading, empty, failed and drawn states.
import { ask } from "./api.js";
import { el, fill } from "./dom.js";
import { drawBarGauge } from "./panels/bargauge.js";
import { drawStat } from "./panels/stat.js";
import { drawTable } from "./panels/table.js";
import { drawTimeseries } from "./panels/timeseries.js";
import { drawWaterfall } from "./panels/waterfall.js";
import { query } from "./state.js";
import { about } from "./tip.js";

const DRAW = { timeseries: drawTimeseries, stat: drawStat, table: drawTable, bargauge: drawBarGauge, barchart: drawWaterfall };

/** The heading of a group of panels. */
export function rowHeading(panel) {
  return place(el("div", { class: "row" }, el("h2", {}, panel.title)), panel.gridPos);
}

function place(node, { x, y, w, h }) {
  node.style.gridColumn = `${x + 1} / span ${w}`;
  node.style.gridRow = `${y + 1} / span ${h}`;
  node.style.setProperty("--span", h);
  return node;
}

/** A panel on the page. `data-state` is loading, drawn, empty or failed; `data-drawn` counts what was drawn. */
export class PanelView {
  constructor(panel, actions) {
    this.panel = panel;
    this.actions = actions;
    this.body = el("div", { class: "body" });
    this.node = place(
      el(
        "section",
        { class: `panel ${panel.type}`, "aria-label": panel.title, "data-panel": panel.id, "data-state": "loading", "data-drawn": 0 },
        el("div", { class: "title" }, el("h3", { title: panel.title }, panel.title), about(panel.description)),
        this.body,
      ),
      panel.gridPos,
    );
  }

  /** Asks for the panel's data and draws it; an earlier question is given up. */
  async load(state) {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const slow = setTimeout(() => this.node.classList.add("loading"), this.node.dataset.state === "loading" ? 0 : 1000);
    try {
      const path = `/api/boards/${encodeURIComponent(state.uid)}/panels/${this.panel.id}?${query(state, { refresh: false })}`;
      const answer = await ask(path, asking.signal);
      const drawn = DRAW[this.panel.type]?.(this.body, this.panel, answer, this.actions) ?? 0;
      this.show(drawn ? "drawn" : "empty", drawn);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.show("failed", 0, error.message);
    } finally {
      clearTimeout(slow);
      if (this.asking === asking) this.node.classList.remove("loading");
    }
  }

  show(state, drawn, message) {
    this.node.dataset.state = state;
    this.node.dataset.drawn = drawn;
    this.node.classList.toggle("failed", state === "failed");
    if (state === "drawn") return;
    const plot = this.body.querySelector(".plot");
    if (plot) Plotly.purge(plot);
    fill(this.body, el("div", { class: "state" }, message ?? "No data in this range"));
  }
}
