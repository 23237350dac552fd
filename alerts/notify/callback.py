"""A notifier that calls a function: a console, a report, a test."""

from collections.abc import Callable, Sequence

from alerts.page import PageEvent


class CallbackNotifier:
    """Calls ``callback`` with every event, in the watcher's thread."""

    def __init__(self, callback: Callable[[PageEvent], None]) -> None:
        self._callback = callback

    def notify(self, event: PageEvent) -> None:
        """Call the function."""
        self._callback(event)

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:
        """Nothing to do."""

    def close(self, timeout_seconds: float) -> None:
        """Nothing to do."""
