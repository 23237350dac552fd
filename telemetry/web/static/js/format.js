// Numbers and times as a person reads them. Units carry Grafana's names.

const NS = [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"], [60e9, "min"], [3600e9, "h"]];
const SHORT = [[1, ""], [1e3, "K"], [1e6, "M"], [1e9, "B"], [1e12, "T"]];

function scaleFor(value, steps) {
  let found = steps[0];
  for (const step of steps) if (Math.abs(value) >= step[0]) found = step;
  return found;
}

function digits(value, decimals) {
  if (decimals !== undefined && decimals !== null) return decimals;
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 100) return 0;
  return size >= 10 ? 1 : size >= 1 ? 2 : 3;
}

function plain(value, decimals) {
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** How an axis whose greatest value is `most` shows its ticks: divide by `by`, add `suffix`. */
export function axisScale(unit, most) {
  if (unit === "ns") {
    const [by, suffix] = scaleFor(most, NS);
    return { by, suffix: ` ${suffix}` };
  }
  if (unit === "percentunit") return { by: 0.01, suffix: " %" };
  const [by, suffix] = scaleFor(most, SHORT);
  return { by, suffix: suffix + (unit === "reqps" ? " req/s" : "") };
}

/** A value in parts: {text, suffix}. */
export function parts(value, unit, decimals) {
  if (value === null || value === undefined) return { text: "–", suffix: "" };
  if (typeof value !== "number") return { text: String(value), suffix: "" };
  if (unit && unit.startsWith("time:")) return { text: clock(value, unit.endsWith(".SSS")), suffix: "" };
  if (unit === "percentunit") return { text: plain(value * 100, decimals ?? digits(value * 100)), suffix: "%" };
  if (unit === "ns") {
    const [by, suffix] = scaleFor(value, NS);
    return { text: plain(value / by, by === 1 ? 0 : digits(value / by, decimals)), suffix };
  }
  if (unit === "short" || unit === "reqps") {
    const [by, letter] = scaleFor(value, SHORT);
    const shown = plain(value / by, by === 1 ? digits(value, decimals) : digits(value / by));
    return { text: shown + letter, suffix: unit === "reqps" ? "req/s" : "" };
  }
  return { text: decimals !== undefined || !Number.isInteger(value) ? plain(value, digits(value, decimals)) : String(value), suffix: "" };
}

/** A value as one text. */
export function format(value, unit, decimals) {
  const { text, suffix } = parts(value, unit, decimals);
  return suffix ? `${text} ${suffix}` : text;
}

/** The time of day in the reader's zone. */
export function clock(ms, fine = false) {
  const at = new Date(ms);
  const two = (n, width = 2) => String(n).padStart(width, "0");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return fine ? `${time}.${two(at.getMilliseconds(), 3)}` : time;
}

/** Date and time in the reader's zone, as <input type="datetime-local"> writes it. */
export function localDate(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${clock(ms)}`;
}

/** How long ago, roughly. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
