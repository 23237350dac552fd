"""The replay over minutes decides as the watcher does; scores, scenarios, pictures, the command."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

import telemetry.store
from alerts import policies
from alerts.backtest import labels, run, scenario
from alerts.backtest.replay import Fired, regrouped, replay
from alerts.backtest.score import score
from alerts.backtest.series import Series, read_series
from alerts.backtest.windows import CLEAR, HOLDS, NO_DATA, ratio_low, slice_sums, sums, sustained
from alerts.burnrate import SEVERITIES, Counts, Policy, Rule, Sustained
from alerts.confidence import bad_ratio_low, quantile
from alerts.decide import AlertState, Slot, judge, judge_sustained, step
from alerts.document import ProblemsError
from alerts.sli_reads import Group, read_windows
from alerts.sli_views import sync
from alerts.slos.model import Slo
from telemetry.cli.slo import slo as command
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, WORKBOOK, append_paths, make_policy, make_slo, path_row, write
from tests.unit.alerts.test_burnrate import DAY, HOUR, MINUTE

FRA = Group("edge-availability", "prod", "pop", "fra")
Z = quantile(Decimal("0.95"))


def series(minutes: Sequence[tuple[float, float, float]], start: int = int(T0), width: int = 60) -> Series:
    """(good, bad, weight) paths of each minute."""
    good, bad, weight = (np.array(column, dtype=float) for column in zip(*minutes, strict=True))
    both = good + bad
    return Series(start, width, good * weight, both * weight, good, both, good * weight**2, both * weight**2)


def slots_of(one: Series, rule: Sustained, last: int) -> list[Slot]:
    """The slots of the rule's window that ends with the bucket of that number."""
    found: dict[int, list[float]] = {}
    least = (one.start + last * one.step) // rule.short_seconds - rule.long_seconds // rule.short_seconds
    for i in range(last + 1):
        number = (one.start + i * one.step) // rule.short_seconds
        if number > least and one.total_paths[i]:
            kept = found.setdefault(number, [0.0, 0.0, 0.0, 0.0])
            for place, values in enumerate((one.bad, one.total, one.good, one.good_squares)):
                kept[place] += float(values[i])
    return [Slot(n, bad, total, squares / good if good else 1.0) for n, (bad, total, good, squares) in found.items()]


def by_the_watchers_own_steps(slo: Slo, policy: Policy, one: Series) -> list[tuple[str, float, float | None]]:
    """What :mod:`alerts.decide` says at the end of each minute, one after the other: slow, and the truth."""

    def window(last: int, seconds: int) -> Counts:
        first = max(0, last + 1 - seconds // one.step)
        columns = (one.good, one.total, one.good_paths, one.total_paths, one.good_squares, one.total_squares)
        good, total, gp, tp, gs, ts = (float(c[first : last + 1].sum()) for c in columns)
        return Counts(good, total, int(gp), int(tp), gs, ts)

    changes: list[tuple[str, float, float | None]] = []
    for severity in SEVERITIES:
        state, opened = AlertState(), 0.0
        for i in range(len(one)):
            now = float(one.start + (i + 1) * one.step)
            verdicts = [
                judge(policy, r, slo.objective, window(i, r.long_seconds), window(i, r.short_seconds))
                for r in policy.rules
                if r.severity == severity
            ]
            if policy.sustained and policy.sustained.severity == severity:
                verdicts.append(judge_sustained(policy.sustained, slots_of(one, policy.sustained, i)))
            if not verdicts:
                continue
            state, change = step(state, verdicts, now, policy.keep_firing_seconds, policy.flap_seconds)
            if change == "trigger":
                opened = now
            elif change == "resolve":
                changes.append((severity, opened, now))
        if state.firing:
            changes.append((severity, opened, None))
    return sorted(changes, key=lambda c: (c[1], c[0]))


RULES = (
    Rule("page", 10 * MINUTE, 2 * MINUTE, Decimal("14.4")),
    Rule("page", 30 * MINUTE, 6 * MINUTE, Decimal(6)),
    Rule("page", 20 * MINUTE, 3 * MINUTE, Decimal(4), 3 * MINUTE),
    Rule("ticket", 60 * MINUTE, 12 * MINUTE, Decimal(1)),
)
SMALL = make_policy(
    resolution_seconds=60,
    rules=RULES,
    min_bad_events=Decimal(3),
    min_bad_paths=2,
    keep_firing_seconds=6 * MINUTE,
    flap_seconds=40 * MINUTE,
    sustained=Sustained("page", 90 * MINUTE, 5 * MINUTE, 3, Decimal("0.5")),
)
_minute = st.sampled_from(
    [(0, 0, 1), (0, 0, 1), (20, 0, 1), (20, 1, 1), (19, 0, 5), (0, 1, 1), (10, 10, 1), (1, 0, 1), (5, 3, 20)]
)
_runs = st.lists(st.tuples(_minute, st.integers(1, 25)), min_size=1, max_size=12)


@example(
    [((20, 0, 1), 30), ((10, 10, 1), 9), *[((20, 0, 1), 9), ((10, 10, 1), 1)] * 3, ((20, 0, 1), 40)], Decimal("0.9"), 0
)
@given(_runs, st.sampled_from([Decimal("0.99"), Decimal("0.95"), Decimal("0.999")]), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_it_decides_as_the_watcher_does(
    runs: list[tuple[tuple[int, int, int], int]], objective: Decimal, offset: int
) -> None:
    """The same alerts at the same minutes, with floors, sampling, waiting, hysteresis, damping and the rule under the floor."""
    one = series([minute for minute, count in runs for _ in range(count)], start=int(T0) + offset * 60)
    slo = make_slo(objective=objective)
    found = [(f.severity, f.at, f.resolved) for f in replay(slo, SMALL, FRA, one)]
    assert found == by_the_watchers_own_steps(slo, SMALL, one)


@example([((19, 0, 5), 5), ((0, 1, 1), 40), ((1, 0, 20), 5), ((0, 0, 1), 30), ((0, 1, 1), 120), ((0, 0, 1), 200)], 2)
@given(_runs, st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_the_rule_under_the_floor_says_the_same_at_every_minute(
    runs: list[tuple[tuple[int, int, int], int]], offset: int
) -> None:
    """By itself: under a whole policy other rules fire at the same time."""
    one = series([minute for minute, count in runs for _ in range(count)], start=int(T0) + offset * 60)
    rule = SMALL.sustained
    assert rule is not None
    answers = sustained(rule, one)
    for i in range(len(one)):
        verdict = judge_sustained(rule, slots_of(one, rule, i))
        holds = {True: HOLDS, False: CLEAR, None: NO_DATA}[verdict.holds]
        assert (bool(answers.fires[i]), int(answers.holds[i])) == (verdict.fires, holds), f"at bucket {i}"


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from([1.0, 3.0, 50.0])), min_size=1, max_size=30
    )
)
def test_bounds_are_the_same_as_one_by_one(minutes: list[tuple[int, int, float]]) -> None:
    one = series(minutes)
    lows = ratio_low(sums(one, 60), Z)
    for i, (good, bad, weight) in enumerate(minutes):
        both = good + bad
        counts = Counts(good * weight, both * weight, good, both, good * weight**2, both * weight**2)
        assert lows[i] == pytest.approx(bad_ratio_low(counts, Z), abs=1e-12)


def test_slices_are_counted_as_the_watcher_reads_them(store: Store) -> None:
    slo = make_slo(slice_seconds=300, slice_target=Decimal("0.9"))
    minutes = [(9, 1, 1), (0, 1, 20), (0, 0, 1), (8, 2, 1), (5, 0, 1)] * 12
    sync(store, [slo], 60, T0 - 60)
    rows = []
    for i, (good, bad, weight) in enumerate(minutes):
        common = {"start": (int(T0) + i * 60) * 10**9, "total_ns": 0, "weight": float(weight)}
        rows += [path_row(**common)] * good + [path_row(outcome="edge_error", **common)] * bad
    append_paths(store, rows)
    wide = regrouped(series(minutes), 300)
    ours = slice_sums(wide, slo, 1800)
    counts = read_windows(store, [slo], [1800], T0 + 59 * 60)[FRA][1800]
    assert (ours.total[-1], ours.bad[-1]) == (counts.total, counts.bad)
    assert ours.bad_low is not None
    assert ours.bad_low[-1] == counts.bad_low
    assert ours.evidence is not None
    assert (ours.evidence[0][-1], ours.evidence[1][-1]) == counts.evidence


# --- against the Workbook ------------------------------------------------------------------------------------------------


def incident(ratio: float, minutes: int, before: int = 4 * 1440, after: int = 600, total: int = 100_000) -> Series:
    """Steady traffic with an error ratio for a while."""
    bad = round(total * ratio)
    return series([(total, 0, 1)] * before + [(total - bad, bad, 1)] * minutes + [(total, 0, 1)] * after)


@pytest.mark.parametrize("rule", WORKBOOK.rules, ids=lambda r: r.key)
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002])
def test_the_workbooks_detection_times(rule: Rule, ratio: float) -> None:
    """Chapter 5: fires after (1 - objective) / error ratio x window x burn rate, and never if that is over the window."""
    policy = replace(WORKBOOK, rules=(rule,), sustained=None)
    seconds = 0.001 / ratio * rule.long_seconds * float(rule.factor)
    one = incident(ratio, rule.long_seconds // 60 + 600)
    found = replay(make_slo(), policy, FRA, one)
    if seconds >= rule.long_seconds:
        assert found == []
        return
    began = one.start + 4 * 1440 * 60
    assert 0 < found[0].at - began - seconds <= 60 + 1e-6
    # The budget that is gone by then is the share that the table's row is named for: 2, 5, 10, 10 % of 30 days.
    expected = {3600: 0.02, 21_600: 0.05, 86_400: 0.1, 259_200: 0.1}[rule.long_seconds]
    assert found[0].bad_events / (0.001 * 100_000 * 30 * 1440) == pytest.approx(
        max(expected, ratio * 60 / 2592), rel=0.2, abs=0.025
    )


def test_a_total_outage_is_seen_in_the_first_minute_and_errors_at_the_objective_never() -> None:
    one = incident(1.0, 10)
    page = next(f for f in replay(make_slo(), WORKBOOK, FRA, one) if f.severity == "page")
    assert page.at - (one.start + 4 * DAY) == 60
    assert [f for f in replay(make_slo(), WORKBOOK, FRA, incident(0.001, 3 * 1440)) if f.severity == "page"] == []


def test_onset_end_and_budget_of_an_alert() -> None:
    one = incident(0.2, 30)
    page = next(f for f in replay(make_slo(), WORKBOOK, FRA, one) if f.severity == "page")
    assert page.onset == one.start + 4 * DAY
    assert page.ended == page.onset + 30 * 60
    assert page.resolved is not None
    assert page.resolved - page.ended <= 40 * 60
    minutes = (page.at - page.onset) / 60
    assert page.bad_events == 20_000 * minutes
    assert page.budget_used == pytest.approx(20_000 * minutes / (0.001 * 100_000 * 30 * 1440))


# --- scores --------------------------------------------------------------------------------------------------------------


def fired(
    at: float, value: str = "fra", severity: Any = "page", resolved: float | None = None, onset: float | None = None
) -> Fired:
    """An alert."""
    group = Group("edge-availability", "prod", "pop", value)
    return Fired(
        group, severity, ("page:3600:300",), at, resolved, at - 60 if onset is None else onset, at + 60, 0.01, 10.0
    )


def known(start: float, end: float, expect: str = "page", value: str = "", name: str = "x") -> labels.Incident:
    """A labelled incident."""
    return labels.Incident(name, start, end, value, expect)


def test_precision_and_recall() -> None:
    alerts = [fired(100, resolved=200), fired(5000, resolved=5100), fired(20_000, resolved=20_100)]
    told = score("p", alerts, [known(50, 150), known(4900, 5050, "none"), known(90_000, 90_100, name="missed")], 0)
    assert told.precision == pytest.approx(1 / 3)
    assert told.recall == 0.5
    assert [i.name for i in told.missed] == ["missed"]
    assert told.pages[0].seconds_to_detect == 50
    assert told.pages[0].seconds_to_reset == 50
    assert told.pages[2].seconds_to_detect == 60  # of no incident that is known: from its first bad minute


def test_alerts_that_fire_together_are_one_page() -> None:
    alerts = [fired(100, "fra", resolved=900), fired(160, "iad", resolved=700), fired(2000, "sin", resolved=2100)]
    assert [[f.group.value for f in p.fired] for p in score("p", alerts, None, 600).pages] == [["fra", "iad"], ["sin"]]
    assert score("p", alerts, None, 600).pages[0].resolved == 900
    assert len(score("p", alerts, None, 0).pages) == 3
    assert score("p", alerts, None, 0).precision is None
    others = [replace(a, service="payments") for a in alerts[1:2]]
    assert [len(p.fired) for p in score("p", [alerts[0], *others], None, 600).pages] == [1, 1]


def test_a_ticket_is_enough_where_one_is_expected_and_too_little_for_a_page() -> None:
    ticket = fired(100, severity="ticket")
    assert score("p", [ticket], [known(50, 150, "ticket")], 0).missed == ()
    assert len(score("p", [ticket], [known(50, 150)], 0).missed) == 1
    assert len(score("p", [ticket], [known(50, 150, "ticket", value="iad")], 0).missed) == 1


# --- history and scenarios -------------------------------------------------------------------------------------------------


def test_an_slo_that_was_never_watched_is_counted_from_the_paths(store: Store) -> None:
    """Proven before it goes live; and the same from the counts once it is watched."""
    rows = [
        path_row(start=(int(T0) + m * 60) * 10**9, total_ns=0, outcome=o)
        for m in range(30)
        for o in ("ok", "edge_error")
    ]
    append_paths(store, rows)
    before = read_series(store, [make_slo()], T0, T0 + 1800, 60)
    sync(store, [make_slo()], 60, T0 + 4000)
    sync(store, [make_slo()], 60, T0 + 4100)
    after = read_series(store, [make_slo()], T0, T0 + 1800, 60)
    assert set(before) == set(after) == {FRA}
    for name in ("good", "total", "good_paths", "total_paths", "good_squares", "total_squares"):
        assert (getattr(before[FRA], name) == getattr(after[FRA], name)).all()
    assert before[FRA].total.tolist() == [2.0] * 30


SCENARIO = """\
apiVersion: edgepath/v1
kind: Scenario
metadata: {name: one}
spec:
  duration: 1d
  seed: 3
  groups:
    - {value: fra, requestsPerSecond: 20, night: 0.5, errorRatio: 0.0002, sampled: 0.5}
    - {value: iad, requestsPerSecond: 5}
  incidents:
    - {name: out, start: 6h, duration: 20m, value: fra, errorRatio: 1, expect: page}
    - {name: drained, start: 12h, duration: 1h, value: iad, traffic: 0, expect: none}
"""


def test_a_scenario_is_made_the_same_every_time(tmp_path: Path) -> None:
    told = scenario.load(write(tmp_path / "s.yaml", SCENARIO))
    one, two = told.series(60), told.series(60)
    assert (one["fra"].total == two["fra"].total).all()
    start = told.events[0].incident.start
    inside = slice(int(start - one["fra"].start) // 60, int(start - one["fra"].start) // 60 + 20)
    assert one["fra"].good[inside].sum() == 0
    assert one["fra"].total_squares.sum() == pytest.approx(2 * one["fra"].total.sum())
    drained = int(told.events[1].incident.start - one["iad"].start) // 60
    assert one["iad"].total[drained : drained + 60].sum() == 0
    assert one["iad"].total[:drained].mean() == pytest.approx(300, rel=0.01)


def test_policies_side_by_side(tmp_path: Path) -> None:
    told = scenario.load(write(tmp_path / "s.yaml", SCENARIO))
    deaf = make_policy(
        name="deaf",
        resolution_seconds=60,
        rules=(Rule("page", HOUR, 5 * MINUTE, Decimal(900)),),
        min_bad_events=Decimal(10**6),
    )
    slo = make_slo()
    start, end = run.scenario_bounds(told)
    both = run.compare([slo], [WORKBOOK, deaf], run.of_scenario(told, slo, 60), start, end, told.incidents)
    assert [(s.policy, len(s.of("page")), s.precision, s.recall) for s in both] == [
        ("workbook", 1, 1.0, 1.0),
        ("deaf", 0, None, 0.0),
    ]


CASES = {
    ("kind: Scenario", "kind: Story"): "kind: 'Story' is not read; write Scenario",
    ("duration: 1d", "duration: 1m"): "spec.duration: a scenario lasts from 1h to 400d",
    ("sampled: 0.5", "sampled: 2"): "spec.groups[0].sampled: a number from 0 to 1",
    ("value: iad, traffic", "value: sin, traffic"): "spec.incidents[1].value: no group is called 'sin'; there are fra, iad",
    ("start: 12h", "start: 24h"): "spec.incidents[1].duration: ends after the scenario does",
    ("expect: none", "expect: maybe"): "spec.incidents[1].expect: 'maybe' is not one of page, ticket, none",
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CASES.items(), ids=list(CASES.values()))
def test_scenarios_that_cannot_be_used(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in SCENARIO
    with pytest.raises(ProblemsError) as caught:
        scenario.load(write(tmp_path / "s.yaml", SCENARIO.replace(*change)))
    assert message in [str(p).partition(": ")[2] for p in caught.value.problems]


def test_labels_of_the_past(tmp_path: Path) -> None:
    text = """\
apiVersion: edgepath/v1
kind: Incidents
metadata: {name: autumn}
spec:
  incidents:
    - {name: b, start: "2096-10-12T10:00:00Z", end: "2096-10-12T10:30:00+00:00", value: fra}
    - {name: a, start: "2096-10-12T08:00:00Z", end: "2096-10-12T08:30:00Z", expect: ticket}
"""
    found = labels.load(write(tmp_path / "i.yaml", text))
    assert [(i.name, i.start - T0, i.value, i.expect) for i in found] == [
        ("a", 0, "", "ticket"),
        ("b", 7200, "fra", "page"),
    ]
    with pytest.raises(ProblemsError, match=r"write e\.g\. 2026-11-03T10:04:00Z"):
        labels.load(write(tmp_path / "i.yaml", text.replace("08:00:00Z", "08:00:00")))
    with pytest.raises(ProblemsError, match="must be after start"):
        labels.load(write(tmp_path / "i.yaml", text.replace("T08:30", "T07:30")))


# --- the command -----------------------------------------------------------------------------------------------------------


def call(*arguments: str) -> Any:
    """What the command did."""
    return CliRunner().invoke(command, ["backtest", *arguments])


def test_the_command_on_a_scenario(tmp_path: Path) -> None:
    path, picture = write(tmp_path / "s.yaml", SCENARIO), tmp_path / "p.svg"
    result = call("edge-availability", "--scenario", str(path), "--policy", "workbook", "--picture", str(picture))
    assert result.exit_code == 0, result.output
    assert "out" in result.stdout
    root = ET.fromstring(picture.read_text())  # noqa: S314 - our own file
    assert root.tag.endswith("svg")
    titles = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")]
    assert {"out", "drained", "page fra"} <= set(titles)
    told = json.loads(call("edge-availability", "--scenario", str(path), "--json").stdout)["policies"][0]
    assert (told["pages"], told["recall"], told["missed"]) == (1, 1.0, [])
    assert told["alerts"][0]["incident"] == "out"
    assert told["alerts"][0]["seconds_to_detect"] <= 60


def test_the_command_on_history(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Shared:
        query, execute, arrow = store.query, store.execute, store.arrow

        def close(self) -> None:
            """The fixture closes it."""

    monkeypatch.setattr(telemetry.store, "open_store", lambda *_: Shared())
    monkeypatch.setattr("time.time", lambda: T0 + 2 * HOUR)
    assert "nothing to replay" in call("edge-availability", "--data", "x").output
    rows = [
        path_row(start=(int(T0) + m * 60) * 10**9, total_ns=0, outcome=o)
        for m in range(20)
        for o in ("ok", "edge_error")
    ]
    append_paths(store, rows)
    incidents = write(tmp_path / "i.yaml", (
        "apiVersion: edgepath/v1\nkind: Incidents\nmetadata: {name: a}\nspec:\n  incidents:\n"
        '    - {name: half, start: "2096-10-12T08:00:00Z", end: "2096-10-12T08:20:00Z"}\n'
    ))  # fmt: skip
    told = json.loads(call("all", "--data", "x", "--since", "1d", "--incidents", str(incidents), "--json").stdout)
    assert told["policies"][0]["recall"] == 1.0
    assert told["policies"][0]["alerts"][0]["slo"] == "edge-availability"


def test_mistakes_on_the_command_line() -> None:
    assert "no SLO is called 'nope'; there are edge-availability, edge-latency, and all" in call("nope").output
    answer = call(
        "edge-availability", "--policy", "workbook", "--policy", "demo", "--scenario", "docs/scenarios/edge.yaml"
    )
    assert "different resolutions" in answer.output


def test_the_example_in_the_docs_is_what_the_docs_say() -> None:
    """The shipped policy pages for what should wake somebody, and for nothing else."""
    told = scenario.load(Path("docs/scenarios/edge.yaml"))
    slo = make_slo()
    start, end = run.scenario_bounds(told)
    (found,) = run.compare([slo], [policies.load()], run.of_scenario(told, slo, 60), start, end, told.incidents)
    assert (found.precision, found.recall, found.missed) == (1.0, 1.0, ())
