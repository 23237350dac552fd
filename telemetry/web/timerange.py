"""The time range of a page and the interval of its points, as Grafana computes them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from telemetry.errors import MalformedError

_RELATIVE: Final = re.compile(r"now(?:-(\d{1,6})([smhdwMy]))?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
_MAX_MS: Final = 4_102_444_800_000  # the year 2100; DateTime64 with nanoseconds ends in 2262
_MAX_SPAN_MS: Final = 800 * 86_400_000

# Upper bounds and the interval each rounds to, in ms: Grafana's rangeUtil.roundInterval.
_ROUNDED: Final = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1_500, 1_000), (3_500, 2_000),
    (7_500, 5_000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, 60_000),
    (210_000, 120_000), (450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000),
    (2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000), (16_200_000, 10_800_000),
    (32_400_000, 21_600_000), (64_800_000, 43_200_000), (604_800_000, 86_400_000), (1_814_400_000, 604_800_000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of time in milliseconds since the epoch; ``from_ms`` < ``to_ms``."""

    from_ms: int
    to_ms: int


def parse_range(start: str, end: str, now: datetime) -> TimeRange:
    """The range between two ends as Grafana's URLs write them: ``now-15m``, epoch milliseconds or ISO 8601.

    Raises:
        MalformedError: an end cannot be read, or the range is empty or longer than the store keeps anything.
    """
    found = TimeRange(_parse(start, "from", now), _parse(end, "to", now))
    if found.from_ms >= found.to_ms:
        raise MalformedError("the time range is empty: from must be before to")
    if found.to_ms - found.from_ms > _MAX_SPAN_MS:
        raise MalformedError("the time range is longer than 800 days")
    return found


def _parse(text: str, name: str, now: datetime) -> int:
    match = _RELATIVE.fullmatch(text)
    if match:
        back = int(match[1]) * _SECONDS[match[2]] if match[1] else 0
        value = int(now.timestamp() * 1000) - back * 1000
    elif re.fullmatch(r"\d{10,14}", text):
        value = int(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
            value = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise MalformedError(
                f"{name}={text[:40]!r} is no time: write now, now-15m, milliseconds or 2026-01-31T12:00:00Z"
            ) from error
    if not 0 <= value <= _MAX_MS:
        raise MalformedError(f"{name}={text[:40]!r} lies outside the years 1970 to 2100")
    return value


def parse_duration(text: str) -> int:
    """A Grafana interval (``500ms``, ``10s``, ``5m``) in milliseconds.

    Raises:
        MalformedError: it is not one.
    """
    match = re.fullmatch(r"(\d{1,9})(ms|[smhdw])", text.strip())
    if not match:
        raise MalformedError(f"{text[:40]!r} is no interval: write 500ms, 10s, 5m or 1h")
    return int(match[1]) * (1 if match[2] == "ms" else _SECONDS[match[2]] * 1000)


def interval_ms(range_: TimeRange, max_points: int, minimum_ms: int) -> int:
    """The distance of points, in milliseconds: the range over ``max_points``, rounded, at least ``minimum_ms``."""
    raw = (range_.to_ms - range_.from_ms) / max(1, max_points)
    rounded = next((value for bound, value in _ROUNDED if raw < bound), 31_536_000_000)
    return max(rounded, minimum_ms)
