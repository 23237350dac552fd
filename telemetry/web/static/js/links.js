// Data links in Grafana's language, kept inside this site.

/** The address a link of a cell leads to, or null if it would leave the site. */
export function linkAddress(template, value, row, state) {
  const text = template.replace(/\$\{([^}]+)\}/g, (_, expression) => {
    const at = expression.lastIndexOf(":");
    const [name, form] = at > 0 ? [expression.slice(0, at), expression.slice(at + 1)] : [expression, ""];
    if (name === "__url_time_range") return new URLSearchParams({ from: state.from, to: state.to }).toString();
    if (name === "__value.raw" || name === "__value.text") return encodeURIComponent(value);
    const field = /^__data\.fields(?:\.(\w+)|\["([^"]+)"\])$/.exec(name);
    if (field) return encodeURIComponent(row[field[1] ?? field[2]] ?? "");
    if (form === "queryparam") {
      return (state.values[name] ?? []).map((chosen) => `var-${encodeURIComponent(name)}=${encodeURIComponent(chosen)}`).join("&");
    }
    return (state.values[name] ?? []).map(encodeURIComponent).join(",");
  });
  const url = new URL(text.replace(/&{2,}/g, "&"), location.origin);
  return url.origin === location.origin ? url.pathname + url.search : null;
}

/** The title of a link. */
export function linkTitle(template, value) {
  return template.replace(/\$\{__value\.(?:raw|text)\}/g, () => String(value));
}
