"""Time ranges out of addresses, and the distance of points, as Grafana has them."""

from datetime import UTC, datetime

import pytest

from telemetry.errors import MalformedError
from telemetry.web.timerange import TimeRange, interval_ms, parse_duration, parse_range

NOW = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("now-15m", "now", TimeRange(NOW_MS - 900_000, NOW_MS)),
        ("now-24h", "now-30s", TimeRange(NOW_MS - 86_400_000, NOW_MS - 30_000)),
        ("1777888800000", "1777892400000", TimeRange(1777888800000, 1777892400000)),
        ("2026-05-04T10:00:00Z", "2026-05-04T13:00:00+02:00", TimeRange(1777888800000, 1777892400000)),
    ],
)
def test_an_end_is_relative_milliseconds_or_iso(start: str, end: str, expected: TimeRange) -> None:
    """Each of the ways in which Grafana's addresses write times."""
    assert parse_range(start, end, NOW) == expected


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("yesterday", "now", r"from='yesterday' is no time: write now, now-15m"),
        ("now", "now-1h", "the time range is empty"),
        ("now-15x", "now", "is no time"),
        ("now-1h'; DROP", "now", "is no time"),
        ("now-5y", "now", "longer than 800 days"),
        ("99999999999999", "now", "outside the years"),
        ("", "now", "is no time"),
        ("now-999999y", "now", "outside the years"),
        ("1e9", "now", "is no time"),
        ("9999-12-31T23:59:59", "now", "outside the years"),
        ("0001-01-01T00:00:00+14:00", "now", "no time|outside the years"),
    ],
)
def test_what_is_no_range_is_refused_by_name(start: str, end: str, message: str) -> None:
    """One line that says what and how to write it."""
    with pytest.raises(MalformedError, match=message):
        parse_range(start, end, NOW)


@pytest.mark.parametrize(
    ("minutes", "points", "expected"),
    [
        (5, 240, 5_000),
        (15, 240, 5_000),
        (60, 240, 15_000),
        (240, 240, 60_000),
        (360, 240, 120_000),
        (1440, 240, 300_000),
    ],
)
def test_intervals_are_rounded_as_grafana_rounds(minutes: int, points: int, expected: int) -> None:
    """``rangeUtil.calculateInterval``: range over points, rounded, at least the panel's own minimum (5 s)."""
    assert interval_ms(TimeRange(0, minutes * 60_000), points, 5_000) == expected


@pytest.mark.parametrize(("text", "expected"), [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000)])
def test_durations(text: str, expected: int) -> None:
    """Grafana's way of writing intervals."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "5 parsecs", "-5s", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(MalformedError, match="write 500ms, 10s"):
        parse_duration(text)
