"""The dead-man's switch: says that the watcher evaluates, as long as it does. Who watches for the silence is somebody else.

Two kinds: a POST to a URL that pages when it is not called any more (Healthchecks, Dead Man's Snitch, Cronitor ...), and
``EdgepathWatchdog``, an alert in Alertmanager that always fires, as Prometheus' own does, to be routed to such a service.
"""

from collections.abc import Sequence
from typing import Any, Final

from alerts.notify.base import Settled
from alerts.notify.http import JsonPoster, label
from alerts.notify.queued import QueuedNotifier
from alerts.page import PageEvent, rfc3339

EVERY_SECONDS: Final = 60.0
GOOD_FOR_SECONDS: Final = 300.0
WATCHDOG_NAME: Final = "EdgepathWatchdog"


class _Beat:
    """Sends a beat; what the queue gives it is only when."""

    def __init__(self, poster: JsonPoster, watchdog: bool, deployment: str) -> None:
        self._poster = poster
        self._watchdog = watchdog
        self._named = {"deployment": deployment} if deployment else {}

    def send(self, event: PageEvent) -> None:
        """As :meth:`alerts.notify.base.Sender.send`."""
        if not self._watchdog:
            self._poster.post({"source": "edgepath watch", **self._named, "evaluated": rfc3339(event.at)})
            return
        self._poster.post([
            {
                "labels": {"alertname": WATCHDOG_NAME, "service": "edgepath", **self._named, "severity": "none"},
                "annotations": {"summary": "edgepath watch evaluates its SLOs. This always fires; page when it does not."},
                "startsAt": rfc3339(event.started),
                "endsAt": rfc3339(event.at + GOOD_FOR_SECONDS),
            }
        ])  # fmt: skip

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()


class Heartbeat:
    """A notifier that is told nothing and beats after every evaluation that went well, once a minute at most."""

    alive_only = True

    def __init__(self, queue: QueuedNotifier, every_seconds: float) -> None:
        self._queue = queue
        self._every = every_seconds
        self._last = float("-inf")
        self._started: float | None = None
        self.name = queue.name

    def wants(self, event: PageEvent) -> bool:  # noqa: ARG002 - the interface
        """None of them."""
        return False

    def notify(self, event: PageEvent) -> None:
        """Nothing to do."""

    def settled(self) -> Sequence[Settled]:
        """Nothing was told."""
        self._queue.settled()
        return ()

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:  # noqa: ARG002 - the interface
        """Beat, if it is time to."""
        if 0 <= now - self._last < self._every:  # else it is time to, or the clock was set back
            return
        self._last = now
        self._started = now if self._started is None else self._started
        self._queue.notify(_beat(now, self._started))

    def close(self, timeout_seconds: float) -> None:
        """As :meth:`alerts.notify.base.Notifier.close`."""
        self._queue.close(timeout_seconds)


def heartbeat(
    url: str, *, watchdog: bool = False, every_seconds: float = EVERY_SECONDS, deployment: str = ""
) -> Heartbeat:
    """A dead-man's switch at ``url``: of an Alertmanager (its base) with ``watchdog``, else whatever takes a POST.

    With the name of the ``deployment``, if it has one: one that is dead must not look alive because another one is.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """
    poster = JsonPoster(f"{url.rstrip('/')}/api/v2/alerts" if watchdog else url)
    # An old beat is no news: it is given up when the next one is due.
    options: dict[str, Any] = {"give_up_seconds": every_seconds, "capacity": 1}
    return Heartbeat(
        QueuedNotifier(label("heartbeat", url), _Beat(poster, watchdog, deployment), **options), every_seconds
    )


def _beat(at: float, started: float) -> PageEvent:
    return PageEvent(
        "trigger", "edgepath/heartbeat", at, started, "", "edgepath", "beat", "", "", "", "", "ticket", 0, 0, "", None, None,
        0.0, 0.0, 0.0, "", 0, None, (), (), "", "", cause="heartbeat",
    )  # fmt: skip
