"""The SLO of ``edgepath slo drill``: counts what drills send, and nothing else does."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from alerts.burnrate import Policy, Rule
from alerts.filters import parse
from alerts.slos.model import Slo

DRILL: Final = Slo(
    name="edgepath-drill",
    display_name="Drill",
    description="A synthetic incident, sent by `edgepath slo drill` to see that a page arrives.",
    service="edgepath",
    objective=Decimal("0.9"),
    period_seconds=30 * 86_400,
    total=parse("complete or not complete"),
    good=parse("outcome = 'ok'"),
    group_by="pop",
    runbook="docs/slo.md#runbook-drill",
    file="alerts/drill_slo.py",
    max_groups=20,
    drill=True,
)
"""Split by ``pop``: each drill sends under a PoP that is named after it, and so has an alert of its own."""


def drill_policy(policy: Policy) -> Policy:
    """Pages for a handful of failed requests, in the buckets and at the interval of ``policy``."""
    step = policy.resolution_seconds
    return replace(
        policy,
        name="drill",
        period_seconds=DRILL.period_seconds,
        min_bad_events=Decimal(3),
        min_bad_paths=3,
        keep_firing_seconds=0,
        flap_seconds=0,
        sustained=None,
        rules=(Rule("page", 5 * step, 2 * step, Decimal(5)),),
    )
