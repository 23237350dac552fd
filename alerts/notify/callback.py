"""A notifier that calls a function: a console, a report, a test."""

from collections.abc import Callable, Sequence
from typing import Final

from alerts.notify.base import Settled
from alerts.page import PageEvent

SCREEN: Final = "screen of "
"""So begins the name of a notifier that only shows what it is told: nobody is woken by it."""


class CallbackNotifier:
    """Calls ``callback`` with every event, in the watcher's thread."""

    def __init__(self, callback: Callable[[PageEvent], None], name: str = "console") -> None:
        self._callback = callback
        self._done: list[Settled] = []
        self.name = name

    def wants(self, event: PageEvent) -> bool:
        """All but what is for some targets alone."""
        return not event.addressed

    def notify(self, event: PageEvent) -> None:
        """Call the function."""
        self._callback(event)
        self._done.append(Settled(event.id))

    def settled(self) -> Sequence[Settled]:
        """Those that the function was called with."""
        done, self._done = self._done, []
        return done

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:
        """Nothing to do."""

    def close(self, timeout_seconds: float) -> None:
        """Nothing to do."""
