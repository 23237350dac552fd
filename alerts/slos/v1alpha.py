"""``openslo/v1alpha`` documents, made into ``openslo/v1`` ones, with a note for each that says what to change.

v1alpha keeps the queries of a ratio in the objective (``ratioMetrics``), names the period ``timeWindows`` with ``count`` and
``unit``, and has ``source``, ``queryType`` and ``query`` where v1 has ``metricSource``. It knows SLO and Service.
"""

from typing import Any, Final

from alerts.document import Reader

API_VERSION: Final = "openslo/v1alpha"
_UNITS: Final = {
    "Second": "s",
    "Minute": "m",
    "Hour": "h",
    "Day": "d",
    "Week": "w",
    "Month": "M",
    "Quarter": "Q",
    "Year": "Y",
}


def converted(root: Reader) -> dict[str, Any]:
    """The document as ``openslo/v1``; what is not of v1alpha's shape is kept as it is, to be reported by who maps it."""
    document = dict(root.value)
    document["apiVersion"] = "openslo/v1"
    changed = ["apiVersion: openslo/v1"]
    spec = document.get("spec")
    if document.get("kind") == "SLO" and isinstance(spec, dict):
        document["spec"] = _spec(dict(spec), changed)
    root.note(f"{API_VERSION} is read; to write openslo/v1: {'; '.join(changed)}", "apiVersion", fine=True)
    return document


def _spec(spec: dict[str, Any], changed: list[str]) -> dict[str, Any]:
    if "timeWindows" in spec:
        windows = spec.pop("timeWindows")
        spec["timeWindow"] = [_window(w) for w in windows] if isinstance(windows, list) else windows
        changed.append("timeWindows: becomes timeWindow: with duration: in place of count: and unit:")
    objectives = spec.get("objectives")
    if isinstance(objectives, list) and any(isinstance(o, dict) and "ratioMetrics" in o for o in objectives):
        spec["objectives"] = [dict(o) if isinstance(o, dict) else o for o in objectives]
        # v1 has one indicator for all objectives. Different ones stay where they are, and are reported there.
        metrics = [o.get("ratioMetrics") for o in spec["objectives"] if isinstance(o, dict)]
        if all(m == metrics[0] for m in metrics):
            for objective in spec["objectives"]:
                if isinstance(objective, dict):
                    objective.pop("ratioMetrics", None)
            spec["indicator"] = {"metadata": {"name": "indicator"}, "spec": {"ratioMetric": _ratio(metrics[0])}}
            changed.append("objectives[].ratioMetrics: becomes indicator.spec.ratioMetric:")
    indicator = spec.get("indicator")
    if isinstance(indicator, dict) and "spec" not in indicator and "thresholdMetric" in indicator:
        threshold = {"metricSource": _source(indicator["thresholdMetric"])}
        spec["indicator"] = {"metadata": {"name": "indicator"}, "spec": {"thresholdMetric": threshold}}
        changed.append("indicator.thresholdMetric: becomes indicator.spec.thresholdMetric.metricSource:")
    return spec


def _window(window: Any) -> Any:
    if not isinstance(window, dict) or "unit" not in window:
        return window
    rest = {k: v for k, v in window.items() if k not in ("count", "unit")}
    unit = window["unit"]
    return {"duration": f"{window.get('count', 1)}{_UNITS.get(unit, unit) if isinstance(unit, str) else unit}", **rest}


def _ratio(metrics: Any) -> Any:
    if not isinstance(metrics, dict):
        return metrics
    kept = {k: v for k, v in metrics.items() if k not in ("good", "bad", "total", "incremental")}
    return {**kept, **{k: {"metricSource": _source(metrics[k])} for k in ("good", "bad", "total") if k in metrics}}


def _source(metric: Any) -> Any:
    """``query`` is our filter, or PromQL; ``metadata`` holds what stands beside it in v1 (``groupBy``)."""
    if not isinstance(metric, dict):
        return metric
    source = metric.get("source")
    inner = metric.get("metadata") if isinstance(metric.get("metadata"), dict) else {}
    name = "query" if str(source).lower() == "prometheus" else "filter"
    return {"type": source, "spec": {name: metric.get("query"), **(inner or {})}}
