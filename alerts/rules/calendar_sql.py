"""The bounds of a calendar window as SQL: what :meth:`alerts.slos.window.Calendar.bounds` says, found when the query runs.

A file that is made once is used for years, so that the window's start cannot be written into it.
"""

from datetime import UTC
from typing import Final

from alerts.filters.sql import text_literal
from alerts.slos.window import MONTHS, NOMINAL_DAYS, Calendar

_DAY: Final = 86_400


def starts_sql(calendar: Calendar, now: str) -> str:
    """SQL for an array of instants (seconds since the epoch) at which windows begin: the last up to ``now``, and the next.

    As there, a local time that comes twice is meant the first time, and one that is left out is that much later: both are the
    local time less the offset that held before the clocks were changed. ClickHouse's own reading of local times is another.

    Args:
        calendar: whose windows.
        now: SQL for the time in whole seconds since the epoch.
    """
    zone = text_literal(calendar.zone)

    def offset(at: str) -> str:
        return f"timeZoneOffset(toDateTime({at}, {zone}))"

    # A day before and after a local time, read as if it were UTC, the offsets are those on both sides of a change near it.
    change = f"wall - greatest({offset(f'wall - {_DAY}')}, {offset(f'wall + {_DAY}')})"
    return f"arrayMap(wall -> toInt64(wall - {offset(change)}), {_walls(calendar, now)})"


def _walls(calendar: Calendar, now: str) -> str:
    """SQL for the local times of those instants, as if they were UTC: some more than are needed, for ``now`` is in UTC, too."""
    if calendar.unit in MONTHS:
        months = calendar.count * MONTHS[calendar.unit]
        start = f"toDateTime64('{calendar.start:%Y-%m-%d %H:%M:%S}', 0, 'UTC')"
        passed = f"toInt64(floor(dateDiff('month', {start}, toDateTime({now}, 'UTC')) / {months}))"
        # Each from the first one: 31 January, 28 February, 31 March.
        begin = f"toInt64(toUnixTimestamp(addMonths({start}, ({passed} + n) * {months})))"
        return f"arrayMap(n -> {begin}, [-2, -1, 0, 1, 2])"
    length = calendar.count * NOMINAL_DAYS[calendar.unit] * _DAY
    first = int(calendar.start.replace(tzinfo=UTC).timestamp())
    return f"arrayMap(n -> {first} + (toInt64(floor(({now} - {first}) / {length})) + n) * {length}, [-1, 0, 1, 2])"
