"""The period of an SLO: rolling (the last 28 days) or by the calendar (this month, in somebody's time zone)."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerts.document import Reader

NOMINAL_DAYS: Final = {"d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}
MONTHS: Final = {"M": 1, "Q": 3, "Y": 12}
"""Days of a unit, months of 30 and years of 365 days; and months of those units that have any."""
SHORTEST: Final = 3600
LONGEST: Final = 400 * 86_400


@dataclass(frozen=True)
class Calendar:
    """A calendar-aligned window (OpenSLO v1, ``timeWindow[0].calendar``).

    Attributes:
        count, unit: its length, in ``d``, ``w``, ``M``, ``Q`` or ``Y``.
        start: when one such window began, local time in ``zone``, without an offset.
        zone: IANA name.
    """

    count: int
    unit: str
    start: datetime
    zone: str

    @property
    def nominal_seconds(self) -> int:
        """Its length with months of 30 and years of 365 days: what burn-rate factors are scaled to."""
        return self.count * NOMINAL_DAYS[self.unit] * 86_400

    def bounds(self, now: float) -> tuple[float, float]:
        """Start and end, in seconds since the epoch, of the window that holds ``now``. Daylight saving is local time's.

        A local time that comes twice is meant the first time; one that is left out is that much later.
        """
        zone = ZoneInfo(self.zone)

        def begin(number: int) -> float:
            return self._begin(number).replace(tzinfo=zone, fold=0).timestamp()

        # By the instants: local time runs back once a year, and would lie in two windows.
        number = self._guess(datetime.fromtimestamp(now, zone).replace(tzinfo=None))
        while begin(number) > now:
            number -= 1
        while begin(number + 1) <= now:
            number += 1
        return begin(number), begin(number + 1)

    def _guess(self, local: datetime) -> int:
        return int((local - self.start).total_seconds() // self.nominal_seconds)

    def _begin(self, number: int) -> datetime:
        """Local start of the window ``number`` windows after ``start``."""
        steps = number * self.count
        if self.unit not in MONTHS:
            return self.start + timedelta(days=steps * NOMINAL_DAYS[self.unit])
        months = self.start.year * 12 + self.start.month - 1 + steps * MONTHS[self.unit]
        year, month = divmod(months, 12)
        following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1)  # noqa: DTZ001 - local time by definition
        last = (following - timedelta(days=1)).day
        return self.start.replace(year=year, month=month + 1, day=min(self.start.day, last))


def window_from(reader: Reader) -> tuple[int | None, Calendar | None]:
    """Length in seconds (of a calendar window its nominal one) and the calendar, if it is aligned to one."""
    items = reader.items()
    if len(items) != 1:
        if isinstance(reader.value, list):
            reader.note(f"expected exactly one time window, found {len(items)}")
        return None, None
    window = items[0]
    fields = window.fields(("duration",), ("isRolling", "calendar"))
    if "duration" not in fields:
        return None, None
    rolling = fields["isRolling"].flag(default=True) if "isRolling" in fields else "calendar" not in fields
    if "calendar" not in fields:
        if not rolling:
            window.note("a window that does not roll needs calendar: {startTime: ..., timeZone: ...}", "isRolling")
            return None, None
        return _rolling(fields["duration"]), None
    if "isRolling" in fields and rolling:
        window.note("a window either rolls or has a calendar; remove one", "isRolling")
        return None, None
    calendar = _calendar(fields["duration"], fields["calendar"])
    return (calendar.nominal_seconds if calendar else None), calendar


def _rolling(reader: Reader) -> int | None:
    match = re.fullmatch(r"(\d{1,4})([MQY])", reader.value) if isinstance(reader.value, str) else None
    if match:
        days = int(match[1]) * NOMINAL_DAYS[match[2]]
        reader.note(f"{reader.value} has no fixed length; write {days}d, or align it to a calendar")
        return None
    seconds = reader.duration()
    if seconds is not None and not SHORTEST <= seconds <= LONGEST:
        reader.note("a period lies between 1h and 400d, which is how long counts are kept")
        return None
    return seconds


def _calendar(duration: Reader, reader: Reader) -> Calendar | None:
    text = duration.value
    match = re.fullmatch(r"([1-9]\d{0,2})([dwMQY])", text) if isinstance(text, str) else None
    if not match:
        duration.note(f"{text!r} is not the length of a calendar window; write days to years, e.g. 1w, 1M, 1Q")
    elif int(match[1]) * NOMINAL_DAYS[match[2]] * 86_400 > LONGEST:
        duration.note("a period lies between 1h and 400d, which is how long counts are kept")
        match = None
    fields = reader.fields(("startTime", "timeZone"))
    start = _local(fields["startTime"]) if "startTime" in fields else None
    zone = fields["timeZone"].text(64) if "timeZone" in fields else None
    if zone is not None and not _known(zone):
        fields["timeZone"].note(f"{zone!r} is no time zone of the IANA database; write e.g. Europe/Berlin or UTC")
        zone = None
    if not match or start is None or zone is None:
        return None
    return Calendar(int(match[1]), match[2], start, zone)


def _local(reader: Reader) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(reader.value))
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        reader.note(f"{reader.value!r} is not a local time; write e.g. 2026-01-01 00:00:00, without a time zone")
        return None
    return at


def _known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
