"""Sampling, low traffic and flapping: when a page is right although the counts are few, weighted or restless."""

import math
from collections.abc import Sequence
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.burnrate import BudgetState, Counts, Rule, Sustained, exhausted_in
from alerts.confidence import bad_ratio_low, burn_low, is_exact, quantile, wilson_low
from alerts.decide import AlertState, Change, Slot, Verdict, judge, judge_sustained, step
from tests.unit.alerts.alerts_support import WORKBOOK, make_policy
from tests.unit.alerts.test_burnrate import DAY, HOUR, MINUTE, OBJECTIVE, Simulation, incident

Z = quantile(Decimal("0.95"))


def sampled(good: int, bad: int, *, good_weight: float = 1, bad_weight: float = 1) -> Counts:
    """So many kept paths, of these weights."""
    sums = good * good_weight, bad * bad_weight
    squares = good * good_weight**2, bad * bad_weight**2
    return Counts(sums[0], sum(sums), good, good + bad, squares[0], sum(squares))


def test_the_quantile_is_the_normals() -> None:
    assert pytest.approx(1.6449, abs=1e-4) == Z


def test_wilson_against_its_published_example() -> None:
    """Newcombe (Statistics in Medicine 17, 1998), method 3: 81 of 263 is 0.2553 to 0.3662 at 95 % two-sided."""
    assert wilson_low(81 / 263, 263, 1.959964) == pytest.approx(0.2553, abs=1e-4)
    assert wilson_low(0.0, 20, 1.96) == 0.0
    assert wilson_low(1.0, 29, 1.959964) == pytest.approx(0.8830, abs=1e-4)


def test_where_every_request_is_known_there_is_nothing_to_be_unsure_about() -> None:
    assert is_exact(sampled(9, 1))
    assert bad_ratio_low(sampled(9, 1), Z) == 0.1
    assert burn_low(Counts(), OBJECTIVE, Decimal("0.95")) is None


def test_errors_that_are_all_kept_are_surer_than_sampled_ones() -> None:
    """A tail sampler keeps every error and one good request in 100: the bound is far closer than with one in 100 of both."""
    tail = bad_ratio_low(sampled(50, 50, good_weight=100), Z)
    head = bad_ratio_low(sampled(50, 1, good_weight=100, bad_weight=100), Z)
    assert 0.007 < tail < 50 / 5050
    assert head < 0.006


def test_weights_that_are_not_squared_are_taken_to_be_alike() -> None:
    known = sampled(90, 10, good_weight=20, bad_weight=20)
    unknown = Counts(known.good, known.total, known.good_paths, known.total_paths)
    assert bad_ratio_low(unknown, Z) == pytest.approx(bad_ratio_low(known, Z))


@given(st.integers(0, 200), st.integers(0, 200), st.floats(1, 1000), st.floats(1, 1000))
def test_the_bound_is_a_share_and_never_over_the_ratio(
    good: int, bad: int, good_weight: float, bad_weight: float
) -> None:
    counts = sampled(good, bad, good_weight=good_weight, bad_weight=bad_weight)
    low = bad_ratio_low(counts, Z)
    assert 0 <= low <= counts.bad_ratio + 1e-12
    assert math.isfinite(low)


@pytest.mark.parametrize("ratio", [0.02, 0.2, 0.8])
@pytest.mark.parametrize("keep", [(0.1, 0.1), (0.05, 1.0)])
def test_the_bound_is_under_the_truth_as_often_as_it_says(ratio: float, keep: tuple[float, float]) -> None:
    """2,000 requests, of which a share is bad, sampled 400 times with known chances: the bound holds in 95 % of the cases."""
    random = Random(7)
    total, rounds, held = 2000, 400, 0
    bad = round(total * ratio)
    for _ in range(rounds):
        kept_good = sum(random.random() < keep[0] for _ in range(total - bad))
        kept_bad = sum(random.random() < keep[1] for _ in range(bad))
        counts = sampled(kept_good, kept_bad, good_weight=1 / keep[0], bad_weight=1 / keep[1])
        held += bad_ratio_low(counts, Z) <= ratio
    assert held / rounds >= 0.92  # 95 % within what 400 rounds can tell


def test_a_page_needs_its_lower_bound_over_the_factor() -> None:
    """Ten kept paths that stand for 1,000 requests, one of them bad: 10 %, burn rate 100, but it may be chance. 100 may not."""
    policy, rule = make_policy(), Rule("page", 60, 10, Decimal("14.4"))
    few, many = (sampled(9 * n, n, good_weight=100, bad_weight=100) for n in (1, 10))
    unsure = judge(policy, rule, OBJECTIVE, few, few)
    sure = judge(policy, rule, OBJECTIVE, many, many)
    strict = judge(make_policy(confidence=Decimal("0.999")), rule, Decimal("0.99"), few, few)
    assert unsure.long_low is not None
    assert sure.long_low is not None
    assert unsure.long_low < sure.long_low < 100
    assert sure.fires
    assert not strict.fires
    assert judge(policy, rule, OBJECTIVE, sampled(90, 10), sampled(90, 10)).long_low is None


RULE = Sustained("page", 72 * HOUR, 30 * MINUTE, 4, Decimal("0.5"))


def slots(*bad: float, total: float = 1.0) -> list[Slot]:
    """Slots with events, hours apart, the oldest first."""
    return [Slot(i * 7200, b, total) for i, b in enumerate(bad)]


def test_sustained_failure_fires_however_few_requests_there_are() -> None:
    verdict = judge_sustained(RULE, slots(1, 1, 1, 1))
    assert (verdict.fires, verdict.holds) == (True, True)
    assert not judge_sustained(RULE, slots(1, 1, 1)).fires
    assert not judge_sustained(RULE, slots(1, 1, 0, 1)).fires
    assert not judge_sustained(RULE, slots(0, 0, 0, 0)).fires


def test_one_slot_that_is_well_ends_it_and_silence_does_not() -> None:
    assert judge_sustained(RULE, slots(1, 1, 1, 1, 0)).holds is False
    assert judge_sustained(RULE, []).holds is None
    assert judge_sustained(RULE, slots(1, 1, 1, 1, 0.5)).fires is False  # half of it is not more than half


def sampled_half_hours(
    days: float, per_half_hour: float, bad_share: float, keep_good: float, random: Random, since: float = math.inf
) -> list[Slot]:
    """Half hours of a service of which every bad request is kept, and a share of the good ones; all are bad ``since`` then."""
    found = []
    for number in range(round(days * 48)):
        requests = int(per_half_hour) + (random.random() < per_half_hour % 1)
        bad = sum(random.random() < (1 if number * 30 * MINUTE >= since else bad_share) for _ in range(requests))
        kept = sum(random.random() < keep_good for _ in range(requests - bad))
        if bad or kept:
            found.append(Slot(number * 30 * MINUTE, bad, bad + kept / keep_good, 1 / keep_good if kept else 1))
    return found


def first_page(slots: Sequence[Slot], since: float = 0) -> float | None:
    """When the rule of the shipped policy fires first, at the beginning of a slot."""
    rule = WORKBOOK.sustained
    assert rule is not None
    for i, slot in enumerate(slots):
        window = [s for s in slots[max(0, i - 150) : i + 1] if s.start > slot.start - rule.long_seconds]
        if slot.start >= since and judge_sustained(rule, window).fires:
            return slot.start
    return None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bad_share", [0.01, 0.005])
def test_errors_that_are_all_kept_do_not_make_a_service_look_as_if_it_failed(seed: int, bad_share: float) -> None:
    """100 requests an hour, a hundredth of them bad, a hundredth of the good ones kept: most half hours show one kind or none.

    From the fourth day on: before, it may be that no good request was kept yet.
    """
    slots = sampled_half_hours(33, 50, bad_share, 0.01, Random(seed))
    assert sum(s.bad == s.total for s in slots) > 100
    assert first_page(slots, 3 * DAY) is None


@pytest.mark.parametrize("keep_good", [1, 0.1, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_an_outage_with_few_requests_of_which_few_are_kept_is_told_in_the_end(seed: int, keep_good: float) -> None:
    """A request an hour. The surer the less is sampled; at the latest when no good request is left in the window."""
    slots = sampled_half_hours(10, 0.5, 0.0, keep_good, Random(seed), since=5 * DAY)
    told = first_page(slots)
    assert told is not None
    assert 5 * DAY < told < 5 * DAY + {1: DAY, 0.1: 2 * DAY, 0.01: 4 * DAY}[keep_good]


def test_what_was_not_kept_counts_once_for_all_slots_that_are_over() -> None:
    """Good requests weigh 10: there may be 9 that nobody saw."""
    old = Slot(0, 0, 10, 10.0)
    errors = [Slot(i * 7200, 1, 1) for i in range(1, 11)]
    assert not judge_sustained(RULE, [old, *errors[:9]]).fires
    assert judge_sustained(RULE, [old, *errors]).fires
    assert judge_sustained(RULE, errors[:4]).fires
    broken_off = [*errors[:9], Slot(11 * 7200, 0, 10, 10.0), *(Slot(i * 7200, 1, 1) for i in range(12, 21))]
    assert not judge_sustained(RULE, broken_off).fires
    sampled_alike = [Slot(i * 7200, 100, 100, 1.0) for i in range(4)]
    assert judge_sustained(RULE, [Slot(-7200, 0, 100, 100.0), *sampled_alike]).fires, "errors that stand for as many"


def run_low(bad_at: Sequence[float], good_at: Sequence[float], days: float) -> list[tuple[Change, float]]:
    """A PoP that sees a request only at these times, under the whole shipped policy."""
    assert WORKBOOK.sustained is not None
    rules = [r for r in WORKBOOK.rules if r.severity == "page"]
    state, changes = AlertState(), []

    def window(end: float, seconds: float) -> Counts:
        good = sum(end - seconds < at <= end for at in good_at)
        return Counts(good, total := good + sum(end - seconds < at <= end for at in bad_at), good, total)

    now = 0.0
    while now <= days * DAY:
        slot = WORKBOOK.sustained.short_seconds
        first = now - WORKBOOK.sustained.long_seconds
        starts = {at // slot * slot for at in (*bad_at, *good_at) if first < at <= now}
        seen = [
            Slot(int(s), sum(s <= at < s + slot and at <= now for at in bad_at),
                 sum(s <= at < s + slot and at <= now for at in (*bad_at, *good_at)))
            for s in starts
        ]  # fmt: skip
        verdicts = [
            judge(WORKBOOK, r, OBJECTIVE, window(now, r.long_seconds), window(now, r.short_seconds)) for r in rules
        ]
        verdicts.append(judge_sustained(WORKBOOK.sustained, seen))
        state, change = step(state, verdicts, now, WORKBOOK.keep_firing_seconds, WORKBOOK.flap_seconds)
        if change:
            changes.append((change, now))
        now += 5 * MINUTE
    return changes


def test_three_bad_requests_at_night_do_not_page() -> None:
    """Reported of the peers: a page for three failed requests. Within a minute, or spread over the end of a half hour."""
    for times in ([7200, 7210, 7240], [8990, 9010, 9020], [5000, 9000, 9010]):
        assert run_low(times, [100, 3000, 15_000], 0.5) == []


def test_an_outage_of_eight_days_with_few_requests_pages_on_the_first_and_resolves_once() -> None:
    """Reported of the peers: one request every two hours, all failed for eight days, and no page."""
    hours = [h * 7200.0 + 60 for h in range(12 * 8)]
    back = [8 * DAY + h * 7200.0 + 60 for h in range(4)]
    changes = run_low(hours, back, 8.4)
    assert [c for c, _ in changes] == ["trigger", "resolve"]
    assert changes[0][1] <= 7 * HOUR
    assert changes[1][1] <= 8 * DAY + HOUR


@pytest.mark.parametrize("seed", range(3))
def test_random_errors_at_the_objective_never_page(seed: int) -> None:
    """0.1 % of errors at 99.9 %, thrown by dice, at 200, 2 and 0.02 requests a second, for a day each."""
    random = Random(seed)
    for per_second in (200.0, 2.0, 0.02):
        mean, minutes = per_second * 60, 2 * 1440
        total = [round(max(0.0, random.gauss(mean, math.sqrt(mean)))) for _ in range(minutes)]
        bad = [
            min(t, sum(random.random() < 0.001 for _ in range(t)) if t < 1000 else _poisson(random, t / 1000))
            for t in total
        ]
        sums = [0], [0]
        for b, t in zip(bad, total, strict=True):
            sums[0].append(sums[0][-1] + b)
            sums[1].append(sums[1][-1] + t)

        def window(end: int, seconds: int, sums: tuple[list[int], list[int]] = sums) -> Counts:
            first = max(0, end - seconds // 60)
            b, t = (s[end] - s[first] for s in sums)
            return Counts(t - b, t, t - b, t)

        for end in range(1440, minutes):
            for rule in WORKBOOK.rules[:2]:
                verdict = judge(
                    WORKBOOK, rule, OBJECTIVE, window(end, rule.long_seconds), window(end, rule.short_seconds)
                )
                assert not verdict.fires


def _poisson(random: Random, mean: float) -> int:
    limit, count, product = math.exp(-mean), 0, random.random()
    while product > limit:
        count, product = count + 1, product * random.random()
    return count


def verdict(fires: bool, holds: bool | None, rule: Rule | None = None) -> Verdict:
    """What a rule says."""
    return Verdict(rule or make_policy().rules[0], Counts(), Counts(), fires, holds)


def play(seen: Sequence[Verdict], keep: float, flap: float, every: float = 60) -> list[tuple[Change, float]]:
    """The changes of one alert, evaluated every minute."""
    state, changes = AlertState(), []
    for i, v in enumerate(seen):
        state, change = step(state, [v], i * every, keep, flap)
        if change:
            changes.append((change, i * every))
    return changes


BAD, FINE = verdict(fires=True, holds=True), verdict(fires=False, holds=False)


def test_an_alert_that_keeps_coming_back_is_held_longer_each_time() -> None:
    """Two minutes bad, six minutes fine, for hours: with a hysteresis of 2 min that alone would be a page each time."""
    restless = ([BAD] * 2 + [FINE] * 6) * 20
    assert len([c for c, _ in play(restless, 120, 0) if c == "trigger"]) == 20
    damped = [c for c, _ in play([*restless, *[FINE] * 120], 120, 3600)]
    assert damped == ["trigger", "resolve"] * 3


def test_what_comes_back_after_a_long_time_is_held_as_ever() -> None:
    pattern = [*[BAD] * 2, *[FINE] * 70] * 3
    changes = play(pattern, 120, 3600)
    lasted = [b - a for (_, a), (_, b) in zip(changes[::2], changes[1::2], strict=True)]
    assert len(set(lasted)) == 1


def test_a_comb_of_minutes_is_one_page_under_the_shipped_policy() -> None:
    """Five minutes of 20 % errors every ten, for two hours."""
    start = 10 * DAY
    bad = incident(start, start + 2 * HOUR, 0.2)
    simulation = Simulation(WORKBOOK, lambda at: bad(at) if at % 600 < 300 else 0.0)
    assert [c for c, _ in simulation.run(start - 60, start + 4 * HOUR)] == ["trigger", "resolve"]


def test_a_rule_may_have_to_hold_before_it_fires() -> None:
    """OpenSLO's alertAfter: two minutes without a break."""
    patient = Rule("page", 3600, 300, Decimal(2), 120)
    bad, fine = verdict(True, True, patient), verdict(False, False, patient)
    assert play([bad, bad, fine, bad, bad, bad], 0, 0) == [("trigger", 300.0)]
    state, change = step(AlertState(), [bad], 0, 0)
    assert (change, state.pending, state.matters) == (None, ((patient.key, 0),), True)


def test_time_to_exhaustion() -> None:
    """A burn rate of 1 uses the whole budget in a period; of 720 what is left of 30 days in an hour's share."""
    assert exhausted_in(0.5, 720.0, 30 * DAY) == pytest.approx(30 * MINUTE)
    assert exhausted_in(-0.2, 3.0, 30 * DAY) == 0
    assert exhausted_in(0.5, 0.0, 30 * DAY) is None
    assert exhausted_in(None, 3.0, 30 * DAY) is None


def test_states_of_the_budget_policy() -> None:
    names = [(s.name if (s := WORKBOOK.budget_state(left)) else None) for left in (0.9, 0.5, 0.1, 0.0, -3.0, None)]
    assert names == ["healthy", "at risk", "at risk", "spent", "spent", None]
    assert isinstance(WORKBOOK.budget[0], BudgetState)


@given(st.lists(st.sampled_from([BAD, FINE, verdict(False, None)]), max_size=60), st.integers(0, 240))
@settings(max_examples=200)
def test_damping_never_loses_a_page(seen: list[Verdict], keep: int) -> None:
    """Whenever a rule fires, an alert is open; triggers and resolves alternate."""
    state = AlertState()
    told: list[Change] = []
    for i, v in enumerate(seen):
        state, change = step(state, [v], i * 60.0, keep, 3600)
        told += [change] if change else []
        assert state.firing or not v.fires
    assert told == (["trigger", "resolve"] * len(told))[: len(told)]
