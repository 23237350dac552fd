// Starts the page: reads the address, asks for the dashboard, keeps its panels fresh.
import { ask } from "./api.js";
import { closeMenusOutside, timePickers, variablePickers } from "./controls.js";
import { el, fill } from "./dom.js";
import { loadState, tabs } from "./head.js";
import { PanelView, rowHeading } from "./panel.js";
import { address, milliseconds, query, readState } from "./state.js";

const node = (id) => document.getElementById(id);
const AT_ONCE = 4;

let site = null;
let board = null;
let state = null;
let views = [];
let seen = new Set();
let timer = 0;
let round = 0;

function defaults() {
  return { ...board?.time, refresh: "5s" };
}

/** Goes to a new state: the address changes, panels follow. */
function change(patch) {
  state = { ...state, ...patch };
  history.pushState(null, "", address(state));
  follow();
}

const actions = {
  state: () => ({ ...state, values: Object.fromEntries((board?.variables ?? []).map((v) => [v.name, state.values[v.name] ?? v.default])) }),
  zoom: (from, to) => to - from >= 1000 && change({ from: String(from), to: String(to) }),
};

async function open() {
  state = readState(defaults());
  if (board?.uid !== state.uid) {
    try {
      board = await ask(`/api/boards/${encodeURIComponent(state.uid)}`);
    } catch (error) {
      board = null;
      tabs(site.boards, state);
      fill(node("grid"), el("p", { class: "message bad" }, `Dashboard ${state.uid}: ${error.message}`));
      return;
    }
    state = readState(defaults());
    build();
  }
  follow();
}

function build() {
  document.title = `${board.title} – ${site.title}`;
  views = [];
  seen = new Set();
  const watcher = new IntersectionObserver(watch, { rootMargin: "250px" });
  const nodes = board.panels.map((panel) => {
    if (panel.type === "row") return rowHeading(panel);
    const view = new PanelView(panel, actions);
    view.node.view = view;
    views.push(view);
    watcher.observe(view.node);
    return view.node;
  });
  fill(node("grid"), nodes);
}

/** Panels out of sight are asked for when they come into sight. */
function watch(entries) {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) seen.delete(target.view);
    else if (!seen.has(target.view)) {
      seen.add(target.view);
      if (target.view.round !== round) load([target.view]);
    }
  }
}

function load(wanted) {
  const waiting = [...wanted];
  const current = round;
  const next = async () => {
    const view = waiting.shift();
    if (!view || current !== round) return;
    view.round = round;
    await view.load(state);
    await next();
  };
  return Promise.all(Array.from({ length: AT_ONCE }, next));
}

async function refreshPanels() {
  clearTimeout(timer);
  round += 1;
  const current = round;
  await Promise.all([load(views.filter((view) => seen.has(view))), loadState()]);
  if (current === round) again();
}

function again() {
  const wait = milliseconds(state.refresh);
  if (wait) timer = setTimeout(() => (document.hidden ? again() : refreshPanels()), wait);
}

let options = {};

async function follow() {
  tabs(site.boards, state);
  timePickers(node("time"), board.ranges.length ? board.ranges : ["5m", "15m", "1h", "6h", "24h"], state, change);
  pickers();
  refreshPanels();
  try {
    const found = await ask(`/api/boards/${encodeURIComponent(state.uid)}/options?${query(state, { refresh: false })}`);
    if (JSON.stringify(found) !== JSON.stringify(options)) {
      options = found;
      if (!document.querySelector("#variables details[open]")) pickers();
    }
  } catch {
    // The panels say what is wrong; the pickers keep the options that they have.
  }
}

function pickers() {
  const open = document.querySelector("#variables details[open]")?.dataset.variable;
  variablePickers(node("variables"), board.variables, state, options, (name, values) => change({ values: { ...state.values, [name]: values } }));
  if (open) document.querySelector(`#variables details[data-variable="${CSS.escape(open)}"]`)?.setAttribute("open", "");
}

/** Links to dashboards change the page in place; one to a request brings its waterfall into sight. */
function followLinks(event) {
  const link = event.target.closest?.("a[href^='/d/']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const before = state?.values.trace?.[0];
  history.pushState(null, "", link.getAttribute("href"));
  open().then(() => {
    const trace = state?.values.trace?.[0];
    const waterfall = views.find((view) => view.panel.type === "barchart");
    if (trace && trace !== before && waterfall) waterfall.node.scrollIntoView({ block: "center", behavior: "smooth" });
  });
}

async function start() {
  closeMenusOutside();
  document.addEventListener("click", followLinks);
  addEventListener("popstate", open);
  document.addEventListener("visibilitychange", () => !document.hidden && board && milliseconds(state.refresh) && refreshPanels());
  site = await ask("/api/boards");
  node("product").textContent = site.title;
  await open();
}

start().catch((error) => fill(node("grid"), el("p", { class: "message bad" }, error.message)));
