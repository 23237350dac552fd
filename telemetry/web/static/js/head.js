// The head of the page: tabs, facts, and the strip of open pages.
import { ask } from "./api.js";
import { el, fill } from "./dom.js";
import { ago } from "./format.js";
import { query } from "./state.js";

const node = (id) => document.getElementById(id);

/** The dashboards' tabs; they keep the time range and the variables. */
export function tabs(boards, state) {
  const short = (title) => title.replace(/^[^:]+:\s*/, "").replace(/^./, (letter) => letter.toUpperCase());
  fill(node("tabs"), boards.map((board) =>
    el("a", { href: `/d/${encodeURIComponent(board.uid)}?${query(state)}`, "aria-current": board.uid === state.uid ? "page" : null }, short(board.title))));
}

/** Asks for open pages and facts and shows them. */
export async function loadState() {
  let answer;
  try {
    answer = await ask("/api/state");
  } catch (error) {
    fill(node("quiet"), error.message).hidden = false;
    node("quiet").classList.add("lost");
    return;
  }
  // With trouble, no open pages say little: SLOs may not be evaluated.
  node("quiet").classList.toggle("lost", "trouble" in answer.status);
  fill(node("facts"), Object.entries(answer.status).map(([label, value]) =>
    el("span", { class: label === "trouble" ? label : null }, label, el("b", {}, value))));
  fill(node("pages"), answer.pages.map(strip)).hidden = !answer.pages.length;
  fill(node("quiet"), "No open pages").hidden = Boolean(answer.pages.length);
}

function strip(page) {
  const since = Date.parse(page.since ?? "");
  const link = typeof page.link === "string" && page.link.startsWith("/") && !page.link.startsWith("//") ? page.link : null;
  const kind = page.severity === "ticket" ? "ticket" : "page";
  return el(
    "div",
    { class: "page" },
    el("span", { class: `severity ${kind}` }, kind),
    el("span", { class: "slo" }, page.slo ?? ""),
    el("span", {}, page.summary ?? ""),
    link ? el("a", { href: link }, "Look") : null,
    Number.isNaN(since) ? null : el("span", { class: "since" }, `open for ${ago(Date.now() - since)}`),
  );
}
