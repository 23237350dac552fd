"""Burn rates and the decisions on them, against the Site Reliability Workbook's chapter 5. Time is passed in."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.burnrate import Counts, Policy, Rule, budget_left, burn_rate, is_over
from alerts.decide import AlertState, Change, judge, step
from tests.unit.alerts.alerts_support import DEMO, WORKBOOK, make_policy

OBJECTIVE = Decimal("0.999")
MINUTE, HOUR, DAY = 60, 3600, 86_400


class Simulation:
    """Steady traffic with a bad ratio that depends on time, counted in buckets and evaluated as the watcher does."""

    def __init__(
        self,
        policy: Policy,
        bad_ratio: Callable[[float], float],
        *,
        per_second: float = 100,
        objective: Decimal = OBJECTIVE,
        traffic: Callable[[float], float] = lambda _: 1.0,
        weight: float = 1,
    ) -> None:
        self.policy, self.objective, self.resolution = policy, objective, policy.resolution_seconds
        self.bad_ratio, self.traffic, self.per_second, self.weight = bad_ratio, traffic, per_second, weight
        self._base: int | None = None
        self._running: list[tuple[float, float]] = [(0.0, 0.0)]

    def _until(self, bucket: int) -> tuple[int, int]:
        """(good, total) whole events from the first bucket looked at up to the start of bucket number ``bucket``."""
        if self._base is None:
            self._base = bucket
        while len(self._running) <= bucket - self._base:
            good, total = self._running[-1]
            start, parts = (self._base + len(self._running) - 1) * self.resolution, 5
            for i in range(parts):
                at = start + (i + 0.5) * self.resolution / parts
                n = self.per_second * self.resolution / parts * self.traffic(at)
                good, total = good + n * (1 - self.bad_ratio(at)), total + n
            self._running.append((good, total))
        good, total = self._running[bucket - self._base]
        return int(good + 1e-6), int(total + 1e-6)

    def window(self, end: float, seconds: int) -> Counts:
        """The buckets that start in (end - seconds, end]."""
        after = int(end // self.resolution) + 1
        good_0, total_0 = self._until(after - seconds // self.resolution)
        good_1, total_1 = self._until(after)
        good, total = good_1 - good_0, total_1 - total_0
        return Counts(good * self.weight, total * self.weight, good, total)

    def run(self, start: float, stop: float, severity: str = "page") -> list[tuple[Change, float]]:
        """Every change from ``start`` to ``stop``."""
        state, changes, now = AlertState(), [], start
        rules = [r for r in self.policy.rules if r.severity == severity]
        self.window(now - self.policy.delay_seconds, max(r.long_seconds for r in rules))
        while now <= stop:
            end = now - self.policy.delay_seconds
            verdicts = [
                judge(
                    self.policy, r, self.objective, self.window(end, r.long_seconds), self.window(end, r.short_seconds)
                )
                for r in rules
            ]
            state, change = step(state, verdicts, now, self.policy.keep_firing_seconds)
            if change:
                changes.append((change, now))
            now += self.policy.interval_seconds
        return changes


def incident(start: float, stop: float, ratio: float, otherwise: float = 0.0) -> Callable[[float], float]:
    """A bad ratio of ``ratio`` from ``start`` to ``stop``."""
    return lambda at: ratio if start <= at < stop else otherwise


def test_burn_rate_and_budget() -> None:
    counts = Counts(good=9_856.0, total=10_000.0, good_paths=9_856, total_paths=10_000)
    assert burn_rate(counts, OBJECTIVE) == pytest.approx(14.4)
    assert budget_left(counts, Decimal("0.9")) == pytest.approx(0.856)
    assert burn_rate(Counts(), OBJECTIVE) is None
    assert budget_left(Counts(), OBJECTIVE) is None
    assert budget_left(Counts(good=0, total=10, good_paths=0, total_paths=10), Decimal("0.9"), 0.02) == pytest.approx(
        0.8
    )


def test_exactly_the_factor_does_not_fire() -> None:
    """14.4 x 0.1 % of 10,000 is 144: 144 bad are not over it, 145 are; binary floats would not know."""
    assert not is_over(Counts(9_856, 10_000, 9_856, 10_000), OBJECTIVE, Decimal("14.4"))
    assert is_over(Counts(9_855, 10_000, 9_855, 10_000), OBJECTIVE, Decimal("14.4"))
    assert not is_over(Counts(), OBJECTIVE, Decimal(1))


def test_rounding_of_weights_makes_no_bad_events() -> None:
    """Sums of 1/0.3 in another order differ in the last bit; no row was bad."""
    assert Counts(good=0.1 + 0.2, total=0.3000000000000001, good_paths=2, total_paths=2).bad == 0


def test_factors_scale_to_other_periods() -> None:
    """The same share of the budget in the same window: 13.44, 5.6, 2.8, 0.933 for 28 days."""
    factors = [r.factor for r in WORKBOOK.for_period(28 * DAY).rules]
    assert factors[:3] == [Decimal("13.44"), Decimal("5.6"), Decimal("2.8")]
    assert float(factors[3]) == pytest.approx(0.9333, abs=1e-4)
    assert WORKBOOK.for_period(30 * DAY) is WORKBOOK
    for rule in WORKBOOK.rules[:2]:
        share = rule.factor * rule.long_seconds / WORKBOOK.period_seconds
        assert share in (Decimal("0.02"), Decimal("0.05"))


def _fine(rule: Rule) -> Policy:
    """One rule, evaluated finely, so that only its windows decide."""
    return make_policy(resolution_seconds=5, interval_seconds=5, rules=(rule,))


# Workbook, chapter 5: detection time = (1 - objective) / error ratio x window x burn rate.
@pytest.mark.parametrize(
    ("ratio", "seconds"), [(1.0, 51.84), (0.5, 103.68), (0.1, 518.4), (0.05, 1036.8), (0.0144 * 2, 1800)]
)
def test_detection_times_of_the_page_over_one_hour(ratio: float, seconds: float) -> None:
    policy = _fine(Rule("page", HOUR, 5 * MINUTE, Decimal("14.4")))
    start = 10 * DAY
    changes = Simulation(policy, incident(start, start + 3 * HOUR, ratio)).run(start - 600, start + 2 * HOUR)
    assert changes[0][0] == "trigger"
    assert seconds - 5 <= changes[0][1] - start <= seconds + 10


@pytest.mark.parametrize("phase", range(0, 60, 4))
def test_a_total_outage_pages_within_a_minute_and_one_interval(phase: int) -> None:
    """The number to reach, in every phase of the minute's buckets and of the evaluations."""
    start = 10 * DAY + phase
    simulation = Simulation(WORKBOOK, incident(start, start + 600, 1.0))
    changes = simulation.run(start - 61, start + 120)
    assert changes[0][0] == "trigger"
    assert changes[0][1] - start <= 60 + WORKBOOK.interval_seconds


@pytest.mark.parametrize("ratio", [0.0, 0.0005, 0.001])
def test_errors_within_the_objective_never_page(ratio: float) -> None:
    simulation = Simulation(WORKBOOK, lambda _: ratio, per_second=1000)
    assert simulation.run(10 * DAY, 10 * DAY + 2 * HOUR) == []


def test_half_of_the_errors_that_the_objective_allows_make_no_ticket() -> None:
    assert Simulation(WORKBOOK, lambda _: 0.0005).run(10 * DAY, 10 * DAY + HOUR, "ticket") == []


def test_a_slow_burn_is_a_ticket_and_no_page() -> None:
    """0.4 % of errors: burn rate 4, over 3 and under 6."""
    start = 10 * DAY
    simulation = Simulation(WORKBOOK, incident(start, start + 2 * DAY, 0.004))
    assert simulation.run(start + DAY - HOUR, start + DAY + 60) == []
    tickets = Simulation(WORKBOOK, simulation.bad_ratio).run(start + DAY - HOUR, start + DAY + 60, "ticket")
    assert [c for c, _ in tickets] == ["trigger"]


def test_a_page_resolves_soon_after_the_end_and_once() -> None:
    """The 5-minute window resets the fast page; nothing flaps on the way."""
    start, stop = 10 * DAY, 10 * DAY + 600
    changes = Simulation(WORKBOOK, incident(start, stop, 0.2)).run(start - 600, stop + 2 * HOUR)
    assert [c for c, _ in changes] == ["trigger", "resolve"]
    # 20 % for 10 min is 3.3 % of an hour and, with 30 min / 6 h, 0.55 % of six: only the fast rule has fired.
    assert changes[1][1] - stop <= 5 * MINUTE + WORKBOOK.keep_firing_seconds + MINUTE


def test_a_comb_of_errors_does_not_flap() -> None:
    """Ten seconds of errors every 30 s: one page while it lasts, with the demo's windows of seconds."""
    start, stop = 10 * DAY, 10 * DAY + 300
    comb = Simulation(DEMO, lambda at: 0.4 if start <= at < stop and at % 30 < 10 else 0.0)
    changes = [c for c, _ in comb.run(start - 60, stop + 120)]
    assert changes[0] == "trigger"
    assert changes[-1] == "resolve"
    held = make_policy(**{**DEMO.__dict__, "keep_firing_seconds": 30})
    calm = Simulation(held, comb.bad_ratio)
    assert [c for c, _ in calm.run(start - 60, stop + 120)] == ["trigger", "resolve"]


@pytest.mark.parametrize("phase", [0, 1, 2.5, 4, 4.9])
@pytest.mark.parametrize("per_second", [10, 60])
def test_the_demo_pages_and_resolves_in_time(phase: float, per_second: float) -> None:
    """35 % of a PoP's requests fail for a minute: page within 30 s, resolve within 25 s, once."""
    start, stop = 10 * DAY + phase, 10 * DAY + phase + 60
    changes = Simulation(DEMO, incident(start, stop, 0.35, otherwise=0.0), per_second=per_second).run(
        start - 60, stop + 60
    )
    assert [c for c, _ in changes] == ["trigger", "resolve"]
    assert changes[0][1] - start <= 30
    assert changes[1][1] - stop <= 25


def test_the_demo_does_not_page_for_a_few_errors() -> None:
    assert Simulation(DEMO, lambda at: 0.2 if at % 120 < 1 else 0.002).run(10 * DAY, 10 * DAY + 600) == []


def test_few_requests_at_night_do_not_page() -> None:
    """One request an hour, always failed, is no evidence; three sampled rows with a weight of 100 are none either."""
    quiet = Simulation(WORKBOOK, lambda _: 1.0, per_second=1 / HOUR)
    assert quiet.run(10 * DAY, 10 * DAY + HOUR) == []
    sampled = Simulation(WORKBOOK, lambda _: 1.0, per_second=0.5 / HOUR, weight=100)
    assert sampled.run(10 * DAY, 10 * DAY + HOUR) == []


def test_the_floor_counts_weighted_and_raw() -> None:
    policy = make_policy(min_bad_events=Decimal(10), min_bad_paths=5)
    rule = policy.rules[0]
    assert not judge(policy, rule, OBJECTIVE, Counts(0, 400, 0, 4), Counts(0, 400, 0, 4)).fires
    assert not judge(policy, rule, OBJECTIVE, Counts(0, 9, 0, 9), Counts(0, 9, 0, 9)).fires
    assert judge(policy, rule, OBJECTIVE, Counts(0, 10, 0, 10), Counts(0, 10, 0, 10)).fires


BAD = Counts(50, 100, 50, 100)
FINE = Counts(100, 100, 100, 100)
NONE = Counts()


def _play(policy: Policy, seen: Sequence[tuple[float, Counts]], state: AlertState | None = None) -> list[Change | None]:
    """The changes as one rule sees these counts in both windows."""
    state = state or AlertState()
    changes = []
    for now, counts in seen:
        state, change = step(
            state, [judge(policy, policy.rules[0], OBJECTIVE, counts, counts)], now, policy.keep_firing_seconds
        )
        changes.append(change)
    return changes


def test_no_data_never_resolves() -> None:
    """A PoP that dies sends nothing: its page stays open until data says that it is well."""
    policy = make_policy(keep_firing_seconds=10)
    silence = [(float(t), NONE) for t in range(1, 1000, 10)]
    assert _play(policy, [(0, BAD), *silence]) == ["trigger", *[None] * len(silence)]
    assert _play(policy, [(0, BAD), *silence, (1000, FINE), (1010, FINE)])[-2:] == [None, "resolve"]


def test_no_data_never_fires_and_says_so() -> None:
    state, change = step(AlertState(), [judge(make_policy(), make_policy().rules[0], OBJECTIVE, BAD, NONE)], 0, 0)
    assert (state.firing, state.no_data, change) == (False, True, None)


def test_it_must_stay_below_for_the_whole_hysteresis() -> None:
    policy = make_policy(keep_firing_seconds=10)
    seen = [(0.0, BAD), (1.0, FINE), (9.0, FINE), (10.0, BAD), (12.0, FINE), (21.0, FINE), (22.0, FINE)]
    assert _play(policy, seen) == ["trigger", None, None, None, None, None, "resolve"]


def test_one_evaluation_without_data_does_not_reset_the_hysteresis() -> None:
    policy = make_policy(keep_firing_seconds=10)
    assert _play(policy, [(0, BAD), (1, FINE), (5, NONE), (11, NONE), (12, FINE)])[-2:] == [None, "resolve"]


def test_a_clock_that_steps_back_resolves_nothing_early() -> None:
    policy = make_policy(keep_firing_seconds=10)
    assert _play(policy, [(100, BAD), (101, FINE), (50, FINE), (59, FINE), (60, FINE)]) == [
        "trigger", None, None, None, "resolve",
    ]  # fmt: skip


def test_a_page_holds_until_the_short_windows_of_all_rules_that_fired_are_clear() -> None:
    policy = make_policy(rules=(Rule("page", 60, 10, Decimal(10)), Rule("page", 600, 60, Decimal(5))))
    fast, slow = policy.rules
    first = [judge(policy, fast, OBJECTIVE, BAD, BAD), judge(policy, slow, OBJECTIVE, BAD, BAD)]
    state, change = step(AlertState(), first, 0, 0)
    assert (change, state.rules) == ("trigger", (fast.key, slow.key))
    state, change = step(state, [judge(policy, fast, OBJECTIVE, FINE, FINE), first[1]], 1, 0)
    assert change is None
    state, change = step(state, [judge(policy, r, OBJECTIVE, FINE, FINE) for r in policy.rules], 2, 0)
    assert change == "resolve"


def test_a_rule_that_did_not_fire_does_not_hold_a_page() -> None:
    policy = make_policy(rules=(Rule("page", 60, 10, Decimal(10)), Rule("page", 600, 60, Decimal(5))))
    fast, slow = policy.rules
    only_fast = AlertState(firing=True, since=0, rules=(fast.key,))
    now = [judge(policy, fast, OBJECTIVE, FINE, FINE), judge(policy, slow, OBJECTIVE, FINE, BAD)]
    assert step(only_fast, now, 1, 0)[1] == "resolve"


def test_rules_that_a_new_policy_lacks_do_not_hold_a_page_forever() -> None:
    policy = make_policy()
    old = AlertState(firing=True, since=0, rules=("page:1:1",))
    assert _play(policy, [(5, BAD), (6, FINE)], old) == [None, "resolve"]


@given(st.lists(st.sampled_from([BAD, FINE, NONE]), max_size=40), st.integers(0, 5))
def test_triggers_and_resolves_alternate_and_resolve_only_on_good_data(seen: list[Counts], keep: int) -> None:
    policy = make_policy(keep_firing_seconds=keep)
    changes = _play(policy, [(float(i), c) for i, c in enumerate(seen)])
    told = [c for c in changes if c]
    assert told == ["trigger", "resolve"] * (len(told) // 2) + ["trigger"] * (len(told) % 2)
    assert all(seen[i] is FINE for i, c in enumerate(changes) if c == "resolve")
    assert all(seen[i] is BAD for i, c in enumerate(changes) if c == "trigger")
