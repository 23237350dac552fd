"""One spec, three rule engines: our watcher, Grafana's SQL, Prometheus by promtool. The same verdict on the same data."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from alerts.burnrate import SEVERITIES, Policy, Rule, Sustained
from alerts.decide import judge, judge_sustained
from alerts.rules.prometheus import rule_file
from alerts.rules.verdict_sql import burn_sql, sustained_sql
from alerts.sli_reads import Group, read_slots, read_windows
from alerts.slos.model import PrometheusSlo, Slo
from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.real.parts import promtool
from tests.unit.alerts.alerts_support import T0, WORKBOOK, make_slo

POLICY = replace(
    WORKBOOK,
    rules=(*WORKBOOK.rules[:2], Rule("ticket", 43_200, 3600, Decimal(3))),
    delay_seconds=0,
    keep_firing_seconds=0,
    sustained=None,
)
DAY = 720
"""Minutes of good traffic before each scenario: as long as the longest window."""

# (good, bad) requests a minute, and for how many minutes.
SCENARIOS: dict[str, list[tuple[int, int, int]]] = {
    "total outage": [(600, 0, DAY), (0, 600, 12), (600, 0, 60)],
    "5 % for an hour": [(600, 0, DAY), (570, 30, 60), (600, 0, 60)],
    "a slow burn": [(2000, 0, DAY), (1989, 11, 520)],
    "errors at the objective": [(999, 1, DAY + 120)],
    "a blip": [(600, 0, DAY), (540, 60, 1), (600, 0, 30)],
    "under the floor": [(1, 0, DAY), (0, 1, 9), (1, 0, 30)],
    "over the floor": [(1, 0, DAY), (0, 1, 20), (1, 0, 60)],
    "no traffic after errors": [(600, 0, DAY), (0, 600, 5), (0, 0, 40), (600, 0, 20)],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Store]:
    """An embedded store."""
    engine = ChdbEngine(tmp_path_factory.mktemp("engine"))
    made = EmbeddedStore(engine, owns_engine=False)
    schema.apply(made)
    yield made
    engine.close()


def fill(store: Store, minutes: Sequence[tuple[int, int]], weight: int = 1) -> None:
    """Minutes from T0 on, as the views would count them; each path stands for ``weight`` requests."""
    w = weight
    store.execute("TRUNCATE TABLE sli_1m")
    rows = ", ".join(
        f"('edge-availability', {int(T0) + i * 60}, 'prod', 'pop', 'fra', {g * w}, {(g + b) * w}, {g}, {g + b}, "
        f"{g * w * w}, {(g + b) * w * w})"
        for i, (g, b) in enumerate(minutes)
        if g + b
    )
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        f"total_squares) VALUES {rows}"
    )


def by_watch(store: Store, slo: Slo, policy: Policy, now: int) -> dict[str, bool]:
    """Which severities fire."""
    counts = read_windows(store, [slo], policy.windows, now).get(Group(slo.name, "prod", "pop", "fra"), {})
    found: dict[str, bool] = {
        str(severity): any(
            judge(policy, r, slo.objective, counts[r.long_seconds], counts[r.short_seconds]).fires
            for r in policy.rules
            if r.severity == severity
        )
        for severity in SEVERITIES
    }
    return found


def by_grafana(store: Store, slo: Slo, policy: Policy, now: int) -> dict[str, bool]:
    """The same by the SQL of Grafana's rules, at that time."""
    found: dict[str, bool] = {}
    for severity in SEVERITIES:
        rows = store.query(burn_sql(slo, policy, severity, str(now))).rows
        assert [r[:2] for r in rows] == [("prod", "fra")]
        found[severity] = bool(rows[0][2])
    return found


def counter(values: Iterable[int]) -> str:
    """A counter's samples, a minute apart, in promtool's notation; the first is 0."""
    parts, last = ["0"], 0
    for value in values:
        last += value
        parts.append(str(last))
    return " ".join(parts)


PROMETHEUS = PrometheusSlo(
    name="edge-availability", display_name="", description="", service="edge", objective=Decimal("0.999"),
    period_seconds=30 * 86_400, bad_query='sum(rate(requests_total{code="500"}[{{window}}]))',
    total_query="sum(rate(requests_total[{{window}}]))", runbook="", file="",
)  # fmt: skip


def promtool_test(
    tmp_path: Path, policy: Policy, minutes: Sequence[tuple[int, int]], expected: dict[int, set[str]]
) -> str:
    """What promtool says of the rules on these minutes; empty if the alerts are those expected at these minutes."""
    (tmp_path / "rules.yaml").write_text(json.dumps(rule_file([PROMETHEUS], policy)))  # JSON is YAML
    checked = promtool.run("check", "rules", "rules.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    series = [
        {"series": 'requests_total{code="200"}', "values": counter(g for g, _ in minutes)},
        {"series": 'requests_total{code="500"}', "values": counter(b for _, b in minutes)},
    ]
    firing = 'ALERTS{alertname=~"EdgepathBurnRate|EdgepathSustainedFailure", alertstate="firing"}'
    # promtool compares whole alerts; which there are by name and severity is asked of ALERTS, which has nothing else.
    asked = [
        {
            "expr": f"count by (severity) ({firing}) > bool 0",
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{severity="{s}"}}', "value": 1} for s in sorted(found)],
        }
        for minute, found in sorted(expected.items())
    ]
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(test))
    answer = promtool.run("test", "rules", "test.yaml", cwd=tmp_path)
    return "" if answer.returncode == 0 else answer.stdout + answer.stderr


def minutes_of(scenario: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Every minute of a scenario."""
    return [(g, b) for g, b, count in scenario for _ in range(count)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_three_engines_say_the_same(store: Store, tmp_path: Path, name: str) -> None:
    minutes = minutes_of(SCENARIOS[name])
    fill(store, minutes)
    slo, expected = make_slo(), dict[int, set[str]]()
    # A bucket at its end: its last second for us, and the sample after it for Prometheus.
    for minute in range(DAY - 2, len(minutes) + 1, 7 if len(minutes) > DAY + 200 else 3):
        now = int(T0) + minute * 60 - 1
        ours = by_watch(store, slo, POLICY, now)
        assert by_grafana(store, slo, POLICY, now) == ours, f"at minute {minute}"
        expected[minute] = {severity for severity, fires in ours.items() if fires}
    assert promtool_test(tmp_path, POLICY, minutes, expected) == ""
    fired = set().union(*expected.values())
    assert fired == {
        "total outage": {"page", "ticket"}, "5 % for an hour": {"page", "ticket"}, "a slow burn": {"ticket"},
        "errors at the objective": set(), "a blip": set(), "under the floor": set(), "over the floor": {"page", "ticket"},
        "no traffic after errors": {"page", "ticket"},
    }[name]  # fmt: skip


# Slices of five minutes, good from 90 % on; 99 % of them promised: two bad ones of twelve page. With the paths' weight.
SLICED: dict[str, tuple[int, list[tuple[int, int, int]]]] = {
    "total outage": (1, [(600, 0, DAY), (0, 600, 12), (600, 0, 60)]),
    "a little under the target": (1, [(600, 0, DAY), (530, 70, 20), (600, 0, 60)]),
    "at the target": (1, [(600, 0, DAY), (540, 60, 60)]),
    "one slice": (1, [(600, 0, DAY), (0, 600, 5), (600, 0, 60)]),
    "few requests, all bad": (1, [(1, 0, DAY), (0, 1, 15), (1, 0, 60)]),
    "sampled, and not sure": (100, [(6, 0, DAY), (5, 1, 30), (6, 0, 60)]),
    "sampled, and sure": (100, [(6, 0, DAY), (2, 4, 30), (6, 0, 60)]),
    "no traffic after errors": (1, [(600, 0, DAY), (0, 600, 15), (0, 0, 70), (600, 0, 20)]),
}


@pytest.mark.parametrize("name", SLICED)
def test_slices_are_judged_alike(store: Store, name: str) -> None:
    """``Timeslices`` by the watcher and by Grafana's SQL; for Prometheus there are no such rules (docs/slo.md says why)."""
    weight, scenario = SLICED[name]
    fill(store, minutes_of(scenario), weight)
    slo = make_slo(objective=Decimal("0.99"), slice_seconds=300, slice_target=Decimal("0.9"))
    fired: set[str] = set()
    for minute in range(DAY - 2, len(minutes_of(scenario)) + 1, 4):
        now = int(T0) + minute * 60 - 1
        ours = by_watch(store, slo, POLICY, now)
        assert by_grafana(store, slo, POLICY, now) == ours, f"at minute {minute}"
        fired |= {severity for severity, fires in ours.items() if fires}
    assert fired == {
        "total outage": {"page"}, "a little under the target": {"page"}, "at the target": set(), "one slice": set(),
        "few requests, all bad": {"page"}, "sampled, and not sure": set(), "sampled, and sure": {"page", "ticket"},
        "no traffic after errors": {"page"},
    }[name]  # fmt: skip


def test_promtool_finds_a_verdict_that_differs(tmp_path: Path) -> None:
    """The check itself: an expectation that is wrong fails."""
    minutes = minutes_of(SCENARIOS["total outage"])
    assert promtool_test(tmp_path, POLICY, minutes, {DAY + 5: set()}) != ""


def test_sustained_failure_in_all_three(store: Store, tmp_path: Path) -> None:
    """A request every ten minutes, all of them bad for hours: too few for the floor."""
    rule = Sustained("page", 6 * 3600, 1800, 4, Decimal("0.5"))
    policy = replace(POLICY, rules=POLICY.rules[:1], sustained=rule)
    slow = [(1, 0) if i % 10 == 0 else (0, 0) for i in range(400)]
    slow += [(0, 1) if i % 10 == 0 else (0, 0) for i in range(400)]
    slow += [(1, 0) if i % 10 == 0 else (0, 0) for i in range(100)]
    fill(store, slow)
    slo, group = make_slo(), Group("edge-availability", "prod", "pop", "fra")
    ours = {}
    for minute in range(60, len(slow), 10):
        now = int(T0) + minute * 60 - 1
        ours[minute] = judge_sustained(rule, read_slots(store, [slo], rule, now)[group]).fires
        assert [bool(r[2]) for r in store.query(sustained_sql(slo, rule, 0, str(now))).rows] == [ours[minute]]
    assert any(ours.values())
    # Prometheus' slots are of its own phase and its spans fewer: it may be later than we are, up to a span.
    steady = {m: {"page"} for m in ours if 400 + 360 <= m < 800}
    quiet: dict[int, set[str]] = {m: set() for m in ours if m < 400 + 80 or m > 800 + 60}
    assert all(ours[m] for m in steady)
    assert not any(ours[m] for m in quiet)
    assert promtool_test(tmp_path, policy, slow, steady | quiet) == ""
