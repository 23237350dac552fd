"""When the demo's incident begins and ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from telemetry.demo.settings import DemoSettings


@dataclass(frozen=True)
class IncidentTimes:
    """An incident as it was made.

    Attributes:
        pop: where.
        tier: the tier that is to blame.
        start: when it began (timezone-aware).
        end: when it ended; None while it goes on.
    """

    pop: str
    tier: str
    start: datetime
    end: datetime | None = None


class Incidents(Protocol):
    """What can have an incident."""

    def begin_incident(self) -> IncidentTimes:
        """Break something."""
        ...

    def end_incident(self) -> IncidentTimes:
        """Mend it."""
        ...


def run_incident_script(
    fleet: Incidents,
    settings: DemoSettings,
    wait: Callable[[float], bool],
    tell: Callable[[IncidentTimes], None] = lambda _: None,
) -> IncidentTimes | None:
    """Begin the incident and end it, when ``settings`` says. An incident that has begun is ended in any case.

    Args:
        fleet: where it happens.
        settings: when, and for how long.
        wait: waits so many seconds; True if the demo is being stopped (``threading.Event.wait`` is one).
        tell: is given the incident when it begins and again when it ends.

    Returns:
        The incident, or None if the demo was stopped before it began.
    """
    if wait(settings.incident_after_seconds):
        return None
    begun = fleet.begin_incident()
    try:
        tell(begun)
        wait(settings.incident_seconds)
    finally:
        ended = fleet.end_incident()
    tell(ended)
    return ended
