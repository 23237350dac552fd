"""A notifier with a queue and a thread of its own: a slow or broken receiver never holds up an evaluation."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerts.notify.base import DeliveryError, Sender, Settled
from alerts.page import PageEvent
from telemetry.errors import OverloadedError, UnavailableError

_log = logging.getLogger(__name__)
CAPACITY: Final = 1000


class QueuedNotifier:
    """Sends events in order, each until it is delivered, refused for good, or given up.

    Attributes:
        delivered: events that the receiver took.
        failed: events that it refused, or that were given up.
        dropped: events pushed out of a full queue, the oldest first.
    """

    def __init__(
        self,
        name: str,
        sender: Sender,
        *,
        first_backoff_seconds: float = 0.5,
        longest_backoff_seconds: float = 30,
        give_up_seconds: float = 3600,
        resend_seconds: float | None = None,
        capacity: int = CAPACITY,
        only: str = "",
        updates: bool = True,
    ) -> None:
        """Make a notifier; its thread starts with the first event.

        Args:
            name: for the log; no secrets.
            sender: delivers one event.
            first_backoff_seconds, longest_backoff_seconds: pause after a failure; doubles from the first to the longest.
            give_up_seconds: how long one event is tried.
            resend_seconds: how often open alerts are sent again to a receiver that forgets; never if None.
            capacity: events that may wait.
            only: name of the OpenSLO target that this is; told only of events that name it. Told of all if empty.
            updates: whether it is told when others join an incident; no for receivers where that would be one more message.
        """
        self.name = name
        self.delivered = 0
        self.failed = 0
        self.dropped = 0
        self._sender = sender
        self._first_backoff = first_backoff_seconds
        self._longest_backoff = longest_backoff_seconds
        self._give_up = give_up_seconds
        self._resend = resend_seconds
        self._resent = float("-inf")
        self._capacity = capacity
        self._only = only
        self._updates = updates
        self._done: list[Settled] = []
        self._queue: deque[PageEvent] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None  # monotonic; set by close()

    def wants(self, event: PageEvent) -> bool:
        """As :meth:`alerts.notify.base.Notifier.wants`."""
        # A drill is to reach whoever a page may reach.
        named = self._only in event.targets or event.drill if self._only else not event.addressed
        return named and (self._updates or event.kind != "update")

    def settled(self) -> Sequence[Settled]:
        """As :meth:`alerts.notify.base.Notifier.settled`."""
        with self._changed:
            done, self._done = self._done, []
            return done

    def notify(self, event: PageEvent) -> None:
        """Put the event into the queue."""
        with self._changed:
            if self._deadline is not None:
                return
            if len(self._queue) >= self._capacity:
                lost = self._queue.popleft()
                self.dropped += 1
                self._done.append(Settled(lost.id, "too many messages wait"))
                _log.error("%s: too many messages wait; dropped: %s", self.name, lost.summary)
            self._queue.append(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"notify-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:
        """Send open alerts again when it is time to, and nothing else waits."""
        if self._resend is None or not opened or 0 <= now - self._resent < self._resend:
            return  # a clock that was set back does not put it off
        with self._changed:
            if self._queue:
                return
        self._resent = now
        for event in opened:
            if now > event.at:
                self.notify(replace(event, at=now))

    def close(self, timeout_seconds: float) -> None:
        """As :meth:`alerts.notify.base.Notifier.close`; what was not delivered by then is logged."""
        with self._changed:
            self._deadline = time.monotonic() + timeout_seconds
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_seconds + 1)
        with self._changed:
            for event in self._queue:
                _log.error("%s: not delivered before the stop: %s", self.name, event.summary)
        if thread is None or not thread.is_alive():
            self._sender.close()

    def _run(self) -> None:
        while (event := self._next()) is not None:
            problem = self._deliver(event)
            if problem is None:
                return
            with self._changed:
                if self._queue and self._queue[0] is event:
                    self._queue.popleft()
                    self._done.append(Settled(event.id, problem))

    def _next(self) -> PageEvent | None:
        """The oldest event (which stays in the queue until it is done with), or None when it is time to stop."""
        with self._changed:
            while not self._queue and self._deadline is None:
                self._changed.wait()
            if not self._queue or (self._deadline is not None and time.monotonic() >= self._deadline):
                return None
            return self._queue[0]

    def _deliver(self, event: PageEvent) -> str | None:
        """Try until delivered (empty), refused or given up (why), or until it is time to stop (None)."""
        pause = self._first_backoff
        give_up = time.monotonic() + self._give_up
        while True:
            try:
                self._sender.send(event)
                self.delivered += 1
                return ""
            except (UnavailableError, OverloadedError) as error:
                wait = max(pause, min(getattr(error, "retry_after", 0.0), self._longest_backoff))
                if time.monotonic() + wait >= give_up:
                    return self._lost(event, error)
                _log.warning("%s: %s; next attempt in %.1f s", self.name, error, wait)
            except DeliveryError as error:
                return self._lost(event, error)
            except Exception as error:  # noqa: BLE001 - a bug in one message must not stop those after it
                return self._lost(event, error)
            pause = min(pause * 2, self._longest_backoff)
            if not self._sleep(wait):
                return None

    def _lost(self, event: PageEvent, error: Exception) -> str:
        self.failed += 1
        _log.error("%s: not delivered (%s): %s", self.name, error, event.summary)
        return str(error) or type(error).__name__

    def _sleep(self, seconds: float) -> bool:
        """Wait; False when the wait would end after the stop."""
        until = time.monotonic() + seconds
        with self._changed:
            while (left := until - time.monotonic()) > 0:
                if self._deadline is not None and until >= self._deadline:
                    return False
                self._changed.wait(left)
        return True
