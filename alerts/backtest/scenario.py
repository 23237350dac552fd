"""Described traffic and incidents, in YAML, made into the minutes that a replay works on.

::

    apiVersion: edgepath/v1
    kind: Scenario
    metadata: {name: quiet night}
    spec:
      duration: 2d
      seed: 1                      # optional; the same seed, the same dice
      groups:
        - {value: fra, requestsPerSecond: 20, night: 0.2, errorRatio: 0.0005, sampled: 0.1}
      incidents:
        - {name: total outage, start: 26h, duration: 20m, value: fra, errorRatio: 1, expect: page}
        - {name: drained, start: 30h, duration: 2h, value: fra, traffic: 0, expect: none}

``night`` is the share of the traffic that is left at four in the morning, ``sampled`` the share of requests that is kept,
``traffic`` what is left of it in an incident. Counts are thrown by dice (Poisson, binomial).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np

from alerts.backtest.labels import EXPECTATIONS, Incident, head
from alerts.backtest.series import Floats, Series
from alerts.document import Problem, ProblemsError, Reader

BEGIN: Final = 1_767_225_600
"""Scenarios begin at 2026-01-01 00:00 UTC; what lies before is quiet, and long enough for every window."""
WARM_SECONDS: Final = 3 * 86_400
_LONGEST: Final = 400 * 86_400


@dataclass(frozen=True)
class Traffic:
    """One group's traffic; ratios are from 0 to 1."""

    value: str
    per_second: float
    night: float
    error_ratio: float
    sampled: float


@dataclass(frozen=True)
class Event:
    """An incident with what it does: its error ratio (None: as ever) and what is left of the traffic."""

    incident: Incident
    error_ratio: float | None
    traffic: float


@dataclass(frozen=True)
class Scenario:
    """Traffic and incidents over ``duration`` seconds."""

    duration: int
    seed: int
    groups: tuple[Traffic, ...]
    events: tuple[Event, ...]

    @property
    def incidents(self) -> list[Incident]:
        """What is expected of the rules."""
        return [e.incident for e in self.events]

    def series(self, step: int) -> dict[str, Series]:
        """Minutes of every group, with quiet ones before the beginning; the same every time."""
        random = np.random.default_rng(self.seed)
        return {group.value: self._series(group, step, random) for group in self.groups}

    def _series(self, group: Traffic, step: int, random: np.random.Generator) -> Series:
        buckets = (WARM_SECONDS + self.duration) // step
        start = BEGIN - WARM_SECONDS
        at = start + (np.arange(buckets) + 0.5) * step
        day = 0.5 - 0.5 * np.cos((at / 86_400 - 4 / 24) * 2 * np.pi)  # least at four
        rate = group.per_second * (group.night + (1 - group.night) * day) * step
        ratio = np.full(buckets, group.error_ratio)
        for event in self.events:
            if event.incident.value not in ("", group.value):
                continue
            share = _share(start, step, buckets, event.incident)
            rate = rate * (1 - share * (1 - event.traffic))
            if event.error_ratio is not None:
                ratio = ratio + share * (event.error_ratio - ratio)
        total = random.poisson(rate).astype(float)
        bad = random.binomial(total.astype(np.int64), np.clip(ratio, 0.0, 1.0)).astype(float)
        return _kept(start, step, total, bad, group.sampled, random)


def _share(start: int, step: int, buckets: int, incident: Incident) -> Floats:
    """What share of each bucket lies in the incident."""
    begins = start + np.arange(buckets) * float(step)
    found: Floats = (
        np.clip(np.minimum(begins + step, incident.end) - np.maximum(begins, incident.start), 0, step) / step
    )
    return found


def _kept(start: int, step: int, total: Floats, bad: Floats, share: float, random: np.random.Generator) -> Series:
    good = total - bad
    if share < 1:
        good, bad = (random.binomial(n.astype(np.int64), share).astype(float) for n in (good, bad))
    weight = 1 / share
    both = good + bad
    return Series(start, step, good * weight, both * weight, good, both, good * weight**2, both * weight**2)


def load(path: Path) -> Scenario:
    """The scenario of a file.

    Raises:
        ProblemsError: with every problem of the file.
    """
    problems: list[Problem] = []
    spec = head(path, "Scenario", problems).fields(("duration", "groups"), ("seed", "incidents"))
    duration = (spec["duration"].duration() or 0) if "duration" in spec else 0
    if "duration" in spec and not 3600 <= duration <= _LONGEST and not problems:
        spec["duration"].note("a scenario lasts from 1h to 400d")
    seed = spec["seed"].decimal() if "seed" in spec else Decimal(1)
    groups = [_group(item) for item in spec["groups"].items()] if "groups" in spec else []
    if "groups" in spec and not groups:
        spec["groups"].note("expected at least one group")
    events = [_event(item, groups, duration) for item in spec["incidents"].items()] if "incidents" in spec else []
    if problems:
        raise ProblemsError(problems)
    return Scenario(duration, int(seed or 1), tuple(groups), tuple(e for e in events if e is not None))


def _group(reader: Reader) -> Traffic:
    fields = reader.fields(("value", "requestsPerSecond"), ("night", "errorRatio", "sampled"))
    value = (fields["value"].text() or "") if "value" in fields else ""
    per_second = _number(fields, "requestsPerSecond", 1.0, 0.0, 1e7)
    return Traffic(
        value, per_second, _number(fields, "night", 1.0, 0.0, 1.0), _number(fields, "errorRatio", 0.0, 0.0, 1.0),
        max(_number(fields, "sampled", 1.0, 0.0, 1.0), 1e-6),
    )  # fmt: skip


def _event(reader: Reader, groups: Sequence[Traffic], duration: int) -> Event | None:
    fields = reader.fields(("name", "start", "duration"), ("value", "errorRatio", "traffic", "expect"))
    name = (fields["name"].text(200) or "") if "name" in fields else ""
    start = fields["start"].duration() if "start" in fields else None
    length = fields["duration"].duration() if "duration" in fields else None
    value = (fields["value"].text() or "") if "value" in fields else ""
    if value and value not in [g.value for g in groups]:
        fields["value"].note(f"no group is called {value!r}; there are {', '.join(g.value for g in groups)}")
    ratio = _number(fields, "errorRatio", 0.0, 0.0, 1.0) if "errorRatio" in fields else None
    traffic = _number(fields, "traffic", 1.0, 0.0, 100.0)
    expect = (fields["expect"].one_of(EXPECTATIONS) or "") if "expect" in fields else "page"
    if start is None or length is None:
        return None
    if start + length > duration:
        fields["duration"].note("ends after the scenario does")
    begin = float(BEGIN + start)
    return Event(Incident(name, begin, begin + length, value, expect), ratio, traffic)


def _number(fields: dict[str, Reader], key: str, default: float, low: float, high: float) -> float:
    if key not in fields:
        return default
    number = fields[key].decimal()
    if number is not None and not low <= number <= high:
        fields[key].note(f"a number from {low:g} to {high:g}")
    return float(number or 0)
