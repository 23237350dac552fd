"""Burn-rate policies, and the lint of SLOs under them."""

from decimal import Decimal
from pathlib import Path

import pytest

from alerts import policies, slos
from alerts.burnrate import Rule
from alerts.document import ProblemsError
from alerts.lint import lint
from tests.unit.alerts.alerts_support import make_policy, make_slo, write

GOOD = """\
apiVersion: edgepath/v1
kind: BurnRatePolicy
metadata: {name: mine}
spec:
  source: a book
  period: 30d
  resolution: 1m
  interval: 15s
  delay: 0s
  minBadEvents: 0
  minBadPaths: 0
  keepFiring: 0s
  rules:
    - {severity: page, long: 1h, short: 5m, factor: 14.4}
"""


def test_the_default_is_the_workbooks_table() -> None:
    policy = policies.load()
    assert [(r.severity, r.long_seconds, r.short_seconds, r.factor) for r in policy.rules] == [
        ("page", 3600, 300, Decimal("14.4")),
        ("page", 21_600, 1800, Decimal(6)),
        ("ticket", 86_400, 7200, Decimal(3)),
        ("ticket", 259_200, 21_600, Decimal(1)),
    ]
    assert policy.resolution_seconds == 60
    assert "https://sre.google/workbook/alerting-on-slos/" in policy.source
    assert policy.windows == (300, 1800, 3600, 7200, 21_600, 86_400, 259_200)


def test_the_demo_policy_says_what_it_is() -> None:
    demo = policies.load("demo")
    assert (demo.resolution_seconds, demo.windows) == (5, (10, 30))
    assert "FOR THE DEMO ONLY" in policies.shipped()["demo"].read_text(encoding="utf-8")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    policy = policies.load(write(tmp_path / "p.yaml", GOOD))
    assert policy == make_policy(
        name="mine",
        source="a book",
        resolution_seconds=60,
        interval_seconds=15,
        rules=(Rule("page", 3600, 300, Decimal("14.4")),),
    )


CASES = {
    ("edgepath/v1", "edgepath/v2"): "apiVersion: 'edgepath/v2' is not read; write edgepath/v1",
    ("  source: a book\n", ""): "spec.source: missing",
    ("  delay: 0s\n", ""): "spec.delay: missing",
    ("resolution: 1m", "resolution: 0s"): "spec.resolution: must be more than 0",
    ("resolution: 1m", "resolution: 7s"): "spec.rules[0].long: is not a multiple of the resolution, 7s",
    ("minBadPaths: 0", "minBadPaths: 1.5"): "spec.minBadPaths: must be 0 or more, and whole",
    ("minBadEvents: 0", "minBadEvents: -1"): "spec.minBadEvents: must be 0 or more",
    ("severity: page", "severity: wake"): "spec.rules[0].severity: 'wake' is not one of page, ticket",
    ("short: 5m", "short: 2h"): "spec.rules[0].short: must be more than 0 and less than long",
    ("long: 1h", "long: 31d"): "spec.rules[0].long: is longer than the period",
    ("factor: 14.4", "factor: 0"): "spec.rules[0].factor: must be more than 0",
    ("    - {severity: page, long: 1h, short: 5m, factor: 14.4}\n", "    []\n"): "spec.rules: expected at least one rule",
    ("factor: 14.4}", "factor: 14.4}\n    - {severity: page, long: 1h, short: 5m, factor: 6}"): (
        "spec.rules: two rules have the same severity and windows; keep one"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CASES.items(), ids=list(CASES.values()))
def test_problems_name_the_path_and_the_mend(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    path = write(tmp_path / "p.yaml", GOOD.replace(*change))
    with pytest.raises(ProblemsError) as caught:
        policies.load(path)
    assert f"{path}: {message}" in [str(p) for p in caught.value.problems]


def test_an_unknown_policy_names_those_there_are() -> None:
    with pytest.raises(ProblemsError, match=r"nope: no such policy; name a file or one of demo, workbook"):
        policies.load("nope")


def test_lint_refuses_an_alert_that_can_never_fire() -> None:
    """A burn rate of 14.4 at 90 % would need 144 % bad requests."""
    (problem,) = lint([make_slo(objective=Decimal("0.9"))], make_policy())
    assert str(problem) == (
        "a.yaml: spec.objectives[0]: edge-availability: the page over 1m/10s can never fire: a burn rate of 14.4 at an "
        "objective of 0.9 asks for 144% bad requests; raise the objective or lower the factor in policy test"
    )
    exactly = make_policy(rules=(Rule("page", 60, 10, Decimal(10)),))
    assert len(lint([make_slo(objective=Decimal("0.9"))], exactly)) == 1
    assert lint([make_slo(objective=Decimal("0.901"))], exactly) == []


def test_lint_refuses_windows_longer_than_the_period() -> None:
    problems = lint([make_slo(period_seconds=86_400)], policies.load())
    assert [p.path for p in problems] == ["spec.timeWindow[0].duration"]
    assert "the ticket looks back 3d, longer than the period of 1d" in problems[0].message


@pytest.mark.parametrize("name", ["workbook", "demo"])
def test_the_shipped_slos_pass_under_the_shipped_policies(name: str) -> None:
    assert lint(slos.load(), policies.load(name)) == []
