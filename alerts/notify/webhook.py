"""Pages to a webhook: one POST of JSON an event. The payload is :meth:`alerts.page.PageEvent.to_dict` (docs/slo.md)."""

from typing import Any

from alerts.notify.http import JsonPoster, label
from alerts.notify.queued import QueuedNotifier
from alerts.page import PageEvent


class WebhookSender:
    """Posts events. The header ``Idempotency-Key`` is the same for every attempt at the same event."""

    def __init__(self, poster: JsonPoster) -> None:
        self._poster = poster

    def send(self, event: PageEvent) -> None:
        """As :meth:`alerts.notify.base.Sender.send`."""
        self._poster.post(event.to_dict(), event.id)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()


def webhook(url: str, **options: Any) -> QueuedNotifier:
    """A notifier that posts to ``url``; ``options`` as in :class:`~alerts.notify.queued.QueuedNotifier`.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """
    return QueuedNotifier(label("webhook", url), WebhookSender(JsonPoster(url)), **options)
