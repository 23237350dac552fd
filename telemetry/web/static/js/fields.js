// What a panel's fieldConfig says about one field: defaults, then overrides by name.

const PALETTE = ["#6ea8ff", "#e0a93f", "#5aa87a", "#c9508f", "#4fb8c4", "#d9793b", "#9b7fd1", "#b5bd4c", "#e5584f", "#8a94a6"];

/** The name a field is shown by: a pattern over its labels, else its own. */
export function displayName(field, defaults) {
  if (defaults.displayName) {
    return defaults.displayName.replace(/\$\{__field\.labels\.(\w+)\}/g, (_, label) => field.labels[label] ?? "");
  }
  return field.name;
}

/** {name, unit, decimals, color, steps, mappings, links, custom, min, max} of a field. */
export function fieldConfig(panel, field) {
  const defaults = panel.fieldConfig?.defaults ?? {};
  const name = displayName(field, defaults);
  const config = { ...defaults, custom: { ...(defaults.custom ?? {}) } };
  for (const override of panel.fieldConfig?.overrides ?? []) {
    if (override.matcher?.id !== "byName" || (override.matcher.options !== name && override.matcher.options !== field.name)) continue;
    for (const { id, value } of override.properties) {
      if (id.startsWith("custom.")) config.custom[id.slice(7)] = value;
      else config[id] = value;
    }
  }
  return { ...config, name, steps: config.thresholds?.steps ?? [] };
}

/** The colour of the n-th series. */
export function seriesColor(config, n) {
  return config.color?.mode === "fixed" ? config.color.fixedColor : PALETTE[n % PALETTE.length];
}

/** The colour of a value: its mapping's, else its threshold's. */
export function valueColor(config, value) {
  const mapped = mapping(config, value)?.color;
  if (mapped) return mapped;
  let color = null;
  for (const step of config.steps) if (step.value === null || step.value === undefined || value >= step.value) color = step.color;
  return color === "text" || color === "transparent" ? null : color;
}

/** The value mapping that speaks of a value, if one does. */
export function mapping(config, value) {
  for (const item of config.mappings ?? []) {
    if (item.type === "value" && Object.hasOwn(item.options, String(value))) return item.options[String(value)];
  }
  return null;
}
