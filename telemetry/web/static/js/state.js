// The address carries everything: /d/<uid>?from=now-15m&to=now&refresh=5s&var-pop=fra&var-trace=...

export const ALL = "$__all";

/** What the address says; `values` has only the variables that it names. */
export function readState(defaults = {}) {
  const url = new URL(location.href);
  const values = {};
  for (const key of new Set(url.searchParams.keys())) {
    if (key.startsWith("var-")) values[key.slice(4)] = url.searchParams.getAll(key);
  }
  return {
    uid: decodeURIComponent(url.pathname.replace(/^\/d\//, "")),
    from: url.searchParams.get("from") ?? defaults.from ?? "now-1h",
    to: url.searchParams.get("to") ?? defaults.to ?? "now",
    refresh: url.searchParams.get("refresh") ?? defaults.refresh ?? "5s",
    values,
  };
}

/** The query part of the address, or of a question to the server, for a state. */
export function query(state, { refresh = true } = {}) {
  const search = new URLSearchParams({ from: state.from, to: state.to });
  if (refresh) search.set("refresh", state.refresh);
  for (const [name, chosen] of Object.entries(state.values)) for (const value of chosen) search.append(`var-${name}`, value);
  return search.toString();
}

/** The address of a state. */
export function address(state) {
  return `/d/${encodeURIComponent(state.uid)}?${query(state)}`;
}

/** "5s" in milliseconds, 0 for off. */
export function milliseconds(text) {
  const match = /^(\d+)(s|m|h)$/.exec(text);
  return match ? Number(match[1]) * { s: 1e3, m: 6e4, h: 36e5 }[match[2]] : 0;
}
