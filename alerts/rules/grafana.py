"""Grafana-managed alert rules, contact points and notification policies, as file provisioning reads them (Grafana 11).

Made of grafanalib's parts (AlertRulev9, AlertExpression, Target). grafanalib 0.7.1 nests a rule as Grafana's ruler API wants
it; file provisioning (Grafana's manual, "Use configuration files to provision alerting resources") wants it flat and knows
more fields, so the shape is changed here. Grafana resolves the alert of a series that vanishes, which would take missing
data for good: the query keeps every group of the longest window, with NULL where nothing can be said, and both
no data and errors keep the last state.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from grafanalib.core import EXP_TYPE_MATH, AlertExpression, AlertRulev9, Target

from alerts.burnrate import SEVERITIES, Policy
from alerts.document import duration_text
from alerts.lint import rules_of, targets_of
from alerts.rules.verdict_sql import burn_sql, sustained_sql
from alerts.slos.model import Catalog, Slo
from alerts.slos.model import Target as NotificationTarget

Json = dict[str, Any]
FOLDER: Final = "Edgepath"
TARGETS_LABEL: Final = "edgepath_targets"
DEFAULT_RECEIVER: Final = "edgepath"
_TYPES: Final = {
    "alertmanager": "prometheus-alertmanager",
    "pagerduty": "pagerduty",
    "slack": "slack",
    "webhook": "webhook",
}
_SECRETS: Final = {"pagerduty": "integrationKey"}


class _Query(Target):  # type: ignore[misc]  # grafanalib ships no types
    """A query of grafana-clickhouse-datasource 4, as a table: its text columns become labels, its number the value."""

    def __init__(self, sql: str, datasource_uid: str) -> None:
        super().__init__(refId="A", datasource=datasource_uid)
        self.sql = sql

    def to_json_data(self) -> Json:
        """The query model."""
        return {"refId": "A", "editorType": "sql", "format": 1, "queryType": "table", "rawSql": self.sql}


def rule_files(
    catalog: Catalog, policy: Policy, datasource_uid: str = "clickhouse", default_url: str = ""
) -> dict[str, Json]:
    """Content by file name, for ``provisioning/alerting``. SLOs in Prometheus are not among the rules.

    Args:
        catalog: SLOs and notification targets.
        policy: for SLOs without alert policies of their own.
        datasource_uid: of Grafana's ClickHouse datasource.
        default_url: webhook for alerts without targets; Grafana's own variables are allowed (``$EDGEPATH_WEBHOOK``).
    """
    rules = [made for slo in catalog.slos for made in _rules(slo, rules_of(slo, policy), datasource_uid)]
    group = {
        "orgId": 1,
        "name": "edgepath-slos",
        "folder": FOLDER,
        "interval": duration_text(max(policy.interval_seconds // 10 * 10, 10)),
        "rules": rules,
    }
    points = [_contact_point(t) for t in catalog.targets]
    points.append(
        _point(DEFAULT_RECEIVER, "webhook", {"url": default_url or "$EDGEPATH_WEBHOOK", "httpMethod": "POST"})
    )
    return {
        "edgepath-rules.yaml": {"apiVersion": 1, "groups": [group]},
        "edgepath-contact-points.yaml": {"apiVersion": 1, "contactPoints": points},
        "edgepath-policies.yaml": {"apiVersion": 1, "policies": [_routes(catalog.targets)]},
    }


def _rules(slo: Slo, policy: Policy, datasource_uid: str) -> list[Json]:
    found = []
    for severity in SEVERITIES:
        rules = [r for r in policy.rules if r.severity == severity]
        for number, after in enumerate(sorted({r.after_seconds for r in rules})):
            # A rule of Grafana has one "for": a policy that waits must not hold back one that does not.
            part = [r for r in rules if r.after_seconds == after]
            longest = max(r.long_seconds for r in part)
            sql = burn_sql(slo, replace(policy, rules=tuple(part)), severity)
            # The uid follows from the title: that of the first one stays when others come or go.
            title = f"{slo.name}: {severity}" + (f" (after {duration_text(after)})" if number else "")
            targets = targets_of(slo, part)
            found.append(_rule(slo, policy, severity, title, sql, longest, datasource_uid, targets, after))
        if policy.sustained is not None and policy.sustained.severity == severity:
            s = policy.sustained
            sql = sustained_sql(slo, s, policy.delay_seconds)
            title = f"{slo.name}: {severity} (few requests)"
            targets = targets_of(slo, rules)
            found.append(_rule(slo, policy, severity, title, sql, s.long_seconds, datasource_uid, targets, 0))
    return found


def _rule(
    slo: Slo, policy: Policy, severity: str, title: str, sql: str, longest: int, datasource_uid: str,
    targets: Sequence[str], after: int,
) -> Json:  # fmt: skip
    made = AlertRulev9(
        title=title,
        uid=f"edgepath-{hashlib.sha256(title.encode()).hexdigest()[:24]}",
        triggers=[
            _Query(sql, datasource_uid),
            AlertExpression(refId="B", expressionType=EXP_TYPE_MATH, expression="$A > 0.5"),
        ],
        condition="B",
        timeRangeFrom=longest,
        evaluateFor=f"{after}s",
        labels={
            "service": _literal(slo.service),
            "slo": slo.name,
            "severity": severity,
            **({TARGETS_LABEL: ",".join(targets)} if targets else {}),
        },
        annotations={
            "summary": _summary(slo, severity),
            "description": slo.description,
            **({"runbook_url": slo.runbook} if slo.runbook else {}),
        },
    ).to_json_data()
    inner = made["grafana_alert"]
    return {
        "uid": made["uid"],
        "title": inner["title"],
        "condition": inner["condition"],
        "data": inner["data"],
        # "KeepLast": an outage of telemetry neither fires nor resolves it; that is `edgepath watch`'s own alert.
        "noDataState": "KeepLast",
        "execErrState": "KeepLast",
        "for": made["for"],
        "keepFiringFor": duration_text(policy.keep_firing_seconds) if policy.keep_firing_seconds else "0s",
        "annotations": made["annotations"],
        "labels": made["labels"],
        "isPaused": False,
    }


def _summary(slo: Slo, severity: str) -> str:
    group = f" {{{{ $labels.{slo.group_by} }}}}" if slo.group_by else ""
    return f"{severity.upper()} {slo.name}{group}: the error budget burns, {{{{ $labels.environment }}}}"


def _contact_point(target: NotificationTarget) -> Json:
    where = f"${target.variable}" if target.variable else _literal(target.url)
    if target.path:
        where = f"$__file{{{target.path}}}"  # Grafana reads it itself
    settings: Json = {_SECRETS.get(target.kind, "url"): where}
    return _point(target.name, _TYPES[target.kind], settings)


def _literal(text: str) -> str:
    """For labels and settings, where Grafana puts environment variables for ``$NAME``; in queries it does not."""
    return text.replace("$", "$$")


def _quoted(text: str) -> str:
    """For a regular expression of Grafana's: what Go's ``regexp.QuoteMeta`` escapes, and nothing else."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def _point(name: str, kind: str, settings: Json) -> Json:
    uid = f"edgepath-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return {
        "orgId": 1,
        "name": name,
        "receivers": [{"uid": uid, "type": kind, "settings": settings, "disableResolveMessage": False}],
    }


def _routes(targets: Sequence[NotificationTarget]) -> Json:
    """One page an incident: alerts of a service, environment and severity are one group, as in :mod:`alerts.incidents`."""
    return {
        "orgId": 1,
        "receiver": DEFAULT_RECEIVER,
        "group_by": ["service", "environment", "severity"],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "4h",
        "routes": [
            {
                "receiver": target.name,
                "object_matchers": [[TARGETS_LABEL, "=~", f"(.*,)?{_quoted(target.name)}(,.*)?"]],
                "continue": True,
            }
            for target in targets
        ],
    }
