"""Samples, their statistics, and the table and file that come of them. Pure but for the CPU clock."""

import json
import resource
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

Samples = Mapping[str, "Series"]


class CannotRun(Exception):  # noqa: N818 - it leaves a task out, as a skipped test does
    """A task cannot be run on this machine; the message says why, in one line."""


@dataclass(frozen=True)
class Series:
    """What was measured under one name, a value a repetition, in the order of the repetitions.

    Attributes:
        unit: e.g. ``spans/CPU s``.
        values: at least one.
    """

    unit: str
    values: tuple[float, ...]

    def summary(self) -> dict[str, float | str]:
        """Median, least and greatest value, and the unit: an entry of ``bench.json``."""
        return {
            "median": statistics.median(self.values),
            "min": min(self.values),
            "max": max(self.values),
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Ratio:
    """A figure over its baseline, repetition by repetition: both were measured one after the other.

    Attributes:
        name: e.g. ``consumer.vs_plain_python``.
        figure: the name above the line.
        baseline: the name below it.
    """

    name: str
    figure: str
    baseline: str

    def of(self, samples: Samples) -> Series | None:
        """The ratio, or None if one of the two was not measured."""
        if self.figure not in samples or self.baseline not in samples:
            return None
        above, below = samples[self.figure].values, samples[self.baseline].values
        pairs = [a / b for a, b in zip(above, below, strict=False) if b]
        return Series("ratio", tuple(pairs)) if pairs else None


def joined(rounds: Iterable[Samples]) -> dict[str, Series]:
    """The series of several rounds, one after the other.

    Raises:
        ValueError: a name has two units.
    """
    found: dict[str, Series] = {}
    for samples in rounds:
        for name, series in samples.items():
            before = found.setdefault(name, Series(series.unit, ()))
            if before.unit != series.unit:
                raise ValueError(f"{name} is measured in {before.unit} and in {series.unit}")
            found[name] = Series(series.unit, before.values + series.values)
    return found


def with_ratios(samples: Samples, ratios: Sequence[Ratio]) -> dict[str, Series]:
    """The samples and those of the ratios that can be made of them."""
    made = {ratio.name: ratio.of(samples) for ratio in ratios}
    return {**samples, **{name: series for name, series in made.items() if series is not None}}


def as_json(samples: Samples) -> str:
    """The content of ``bench.json``: name to ``{median, min, max, unit}``, sorted by name."""
    return json.dumps({name: samples[name].summary() for name in sorted(samples)}, indent=2) + "\n"


def as_table(samples: Samples) -> str:
    """A table for people: name, median, range, unit."""
    rows = [("", "median", "min", "max", "unit", "n")]
    for name in sorted(samples):
        values = samples[name].values
        middle, least, most = statistics.median(values), min(values), max(values)
        rows.append((name, _short(middle), _short(least), _short(most), samples[name].unit, str(len(values))))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
        f"  {row[4]:<{widths[4]}}  {row[5]:>{widths[5]}}"
        for row in rows
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class Cpu:
    """CPU seconds, user and system, of this process and all its threads."""

    seconds: float = 0.0


@contextmanager
def cpu() -> Iterator[Cpu]:
    """Measure what the body takes; also what the process's other threads take meanwhile."""
    measured, begun = Cpu(), _cpu_now()
    yield measured
    measured.seconds = _cpu_now() - begun


def _cpu_now() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def per_cpu_second(count: int, measured: Cpu, what: str = "spans") -> Series:
    """One sample: so many a CPU second."""
    return Series(f"{what}/CPU s", (count / measured.seconds,))


def peak_rss() -> Series:
    """The most memory that this process has had resident so far."""
    return Series("MiB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,))
