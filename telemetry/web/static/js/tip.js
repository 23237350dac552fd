// The description of a panel, shown on hover and focus.
import { el } from "./dom.js";

let tip = null;

function hide() {
  tip?.remove();
  tip = null;
}

/** The sign beside a panel's title that shows its description. */
export function about(text) {
  if (!text) return null;
  const show = (event) => {
    hide();
    tip = el("div", { id: "tip", role: "tooltip" }, text);
    document.body.append(tip);
    const at = event.currentTarget.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.right - tip.offsetWidth, innerWidth - tip.offsetWidth - 8));
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${at.bottom + 6 + scrollY}px`;
  };
  return el("button", { type: "button", class: "about", "aria-label": text, mouseenter: show, focus: show, mouseleave: hide, blur: hide }, "i");
}
