"""Prometheus recording and alerting rules for SLIs that live in Prometheus.

The same windows and factors as everywhere. A recording rule a window keeps the alerts cheap. The floor on bad events is
asked of the rate over the long window times its length. The rule under the floor (:class:`alerts.burnrate.Sustained`) looks at
slots with traffic; PromQL cannot take "the last four that hold any", so it asks whether of some span at least so many slots
were bad and none was not, for spans from the shortest that holds them up to the rule's window.
"""

from collections.abc import Sequence
from typing import Any, Final

from alerts.burnrate import Policy, Rule, Sustained
from alerts.document import duration_text
from alerts.lint import rules_of, targets_of
from alerts.slos.indicator import WINDOW
from alerts.slos.model import PrometheusSlo

Json = dict[str, Any]
RATIO: Final = "edgepath:sli_error:ratio_rate"
BAD: Final = "edgepath:sli_bad:rate"


def rule_file(slos: Sequence[PrometheusSlo], policy: Policy) -> Json:
    """The content of a rule file with a group an SLO.

    One group, since Prometheus runs the rules of a group one after the other: alerts see the ratios of the same instant. In
    groups of their own they would run at another time of the interval and page up to one interval later.
    """
    groups: list[Json] = []
    for slo in slos:
        own = rules_of(slo, policy)
        interval = duration_text(own.interval_seconds)
        rules = [*_recordings(slo, own), *_alerts(slo, own)]
        groups.append({"name": f"edgepath-{slo.name}", "interval": interval, "rules": rules})
    return {"groups": groups}


def _recordings(slo: PrometheusSlo, policy: Policy) -> list[Json]:
    windows = set(policy.windows)
    if policy.sustained is not None:
        windows.add(policy.sustained.short_seconds)
    long = {r.long_seconds for r in policy.rules}
    found = []
    for window in sorted(windows):
        text = duration_text(window)
        bad, total = (q.replace(WINDOW, text) for q in (slo.bad_query, slo.total_query))
        # Of no traffic there is no ratio: 0 / 0 would be NaN, which is over nothing and hides that nothing is known.
        expression = f"({bad} or 0 * {total}) / ({total} > 0)"
        found.append({"record": f"{RATIO}{text}", "expr": expression, "labels": {"slo": slo.name}})
        if window in long:
            found.append({"record": f"{BAD}{text}", "expr": f"({bad} or 0 * {total})", "labels": {"slo": slo.name}})
    return found


def _alerts(slo: PrometheusSlo, policy: Policy) -> list[Json]:
    found = [_alert(slo, policy, rule) for rule in policy.rules]
    if policy.sustained is not None:
        found.append(_sustained(slo, policy, policy.sustained))
    return found


def _alert(slo: PrometheusSlo, policy: Policy, rule: Rule) -> Json:
    long, short = duration_text(rule.long_seconds), duration_text(rule.short_seconds)
    limit, chosen = f"{rule.factor * (1 - slo.objective):f}", f'{{slo="{slo.name}"}}'
    floor = f"{BAD}{long}{chosen} * {rule.long_seconds} >= {policy.min_bad_events}"
    expression = f"{RATIO}{long}{chosen} > {limit} and {RATIO}{short}{chosen} > {limit} and ({floor})"
    keep = {"keep_firing_for": duration_text(policy.keep_firing_seconds)} if policy.keep_firing_seconds else {}
    share = "{{ $value | humanizePercentage }} of requests fail"
    text = f"burn rate over {rule.factor.normalize():f}x in {long} and {short}; {share}"
    return {
        "alert": "EdgepathBurnRate",
        "expr": expression,
        **({"for": duration_text(rule.after_seconds)} if rule.after_seconds else {}),
        **keep,
        "labels": _labels(slo, rule.severity) | {"long_window": long},
        "annotations": _annotations(slo, rule.severity, text),
    }


def _sustained(slo: PrometheusSlo, policy: Policy, rule: Sustained) -> Json:
    slot, chosen = duration_text(rule.short_seconds), f'{{slo="{slo.name}"}}'
    ratio = f"{RATIO}{slot}{chosen}"
    spans, span = [], rule.short_seconds * rule.slots
    while span < rule.long_seconds:
        spans.append(span)
        span *= 3
    spans.append(rule.long_seconds)
    parts = []
    for seconds in spans:
        over = f"count_over_time(({ratio} > {rule.share})[{duration_text(seconds)}:{slot}]) >= {rule.slots}"
        well = f"count_over_time(({ratio} <= {rule.share})[{duration_text(seconds)}:{slot}])"
        parts.append(f"({over} unless {well})")
    keep = {"keep_firing_for": duration_text(policy.keep_firing_seconds)} if policy.keep_firing_seconds else {}
    return {
        "alert": "EdgepathSustainedFailure",
        "expr": " or ".join(parts),
        **keep,
        "labels": _labels(slo, rule.severity),
        "annotations": _annotations(slo, rule.severity, "few requests, and those that come fail, on and on"),
    }


def _labels(slo: PrometheusSlo, severity: str) -> Json:
    targets = targets_of(slo, [a.rule for a in slo.alerting if a.rule.severity == severity])
    named = {"edgepath_targets": ",".join(targets)} if targets else {}
    return {"slo": slo.name, "service": slo.service, "severity": severity, **named}


def _annotations(slo: PrometheusSlo, severity: str, text: str) -> Json:
    runbook = {"runbook_url": slo.runbook} if slo.runbook else {}
    return {"summary": f"{severity.upper()} {slo.name}: {text}", "description": slo.description, **runbook}
