"""What the watcher asks of a notifier, and what a notifier with a queue asks of its sender."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from alerts.page import PageEvent
from telemetry.errors import EdgepathError


class DeliveryError(EdgepathError):
    """The receiver refused a message for good: sending it again is no use. Never names the secret part of a URL."""


class Settled(NamedTuple):
    """An event that a notifier is done with.

    Attributes:
        event_id: its :attr:`~alerts.page.PageEvent.id`.
        problem: why it was not delivered; empty if it was. Holds no secrets.
    """

    event_id: str
    problem: str = ""


class Notifier(Protocol):
    """Is told about pages. None of its methods blocks longer than it says."""

    name: str
    """Names it among the notifiers of a watcher, and across restarts; holds no secrets."""

    def wants(self, event: PageEvent) -> bool:
        """Whether it is to be told."""
        ...

    def notify(self, event: PageEvent) -> None:
        """Take note of an event. Returns at once; delivery may come later."""
        ...

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:
        """Called after every evaluation with what is open: for receivers that forget. Returns at once."""
        ...

    def settled(self) -> Sequence[Settled]:
        """Events that are done with, delivered, refused or given up, since the last call."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Deliver what waits, for at most ``timeout_seconds``, and stop."""
        ...


class Sender(Protocol):
    """One attempt to deliver. Used by one thread."""

    def send(self, event: PageEvent) -> None:
        """Deliver within a bounded time.

        Raises:
            UnavailableError: try again.
            OverloadedError: try again after ``retry_after`` seconds.
            DeliveryError: refused for good.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
