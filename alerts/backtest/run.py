"""A backtest from end to end: series in, one score a policy out."""

import math
from collections.abc import Mapping, Sequence

from alerts.backtest.labels import Incident, within
from alerts.backtest.replay import Fired, first_bucket, replay
from alerts.backtest.scenario import BEGIN, Scenario
from alerts.backtest.score import Score, score
from alerts.backtest.series import Series, read_series
from alerts.burnrate import Policy
from alerts.lint import rules_of
from alerts.sli_reads import Group
from alerts.slos.model import Slo
from telemetry.store.base import Store


def longest_window(slos: Sequence[Slo], policies: Sequence[Policy]) -> int:
    """How much must lie before the time of interest, in seconds."""
    windows = [w for slo in slos for p in policies for w in rules_of(slo, p).windows]
    windows += [p.sustained.long_seconds for p in policies if p.sustained]
    return max(windows, default=0)


def over_history(
    store: Store, slos: Sequence[Slo], policies: Sequence[Policy], start: float, end: float
) -> dict[Group, Series]:
    """The minutes of every group, from so much before ``start`` as the windows need. Raises as the store does."""
    step = policies[0].resolution_seconds
    return read_series(store, slos, start - longest_window(slos, policies), end, step)


def of_scenario(scenario: Scenario, slo: Slo, step: int) -> dict[Group, Series]:
    """The minutes that a scenario describes, as groups of the SLO."""
    made = scenario.series(step)
    return {Group(slo.name, "scenario", slo.group_by, value): series for value, series in made.items()}


def scenario_bounds(scenario: Scenario) -> tuple[float, float]:
    """Start and end of a scenario."""
    return float(BEGIN), float(BEGIN + scenario.duration)


def compare(
    slos: Sequence[Slo],
    policies: Sequence[Policy],
    series: Mapping[Group, Series],
    start: float,
    end: float,
    incidents: Sequence[Incident] | None = None,
) -> list[Score]:
    """How each policy does on the same minutes, with what it says before ``start`` left out."""
    by_name = {slo.name: slo for slo in slos}
    oldest: dict[str, float] = {}
    for group, one in series.items():
        oldest[group.slo] = min(first_bucket(one), oldest.get(group.slo, math.inf))
    scores = []
    for policy in policies:
        fired: list[Fired] = []
        for group, one in sorted(series.items()):
            slo = by_name[group.slo]
            fired += [
                f for f in replay(slo, rules_of(slo, policy), group, one, oldest[slo.name]) if start <= f.at <= end
            ]
        known = None if incidents is None else within(incidents, start, end)
        scores.append(score(policy.name, fired, known, policy.group_seconds))
    return scores
