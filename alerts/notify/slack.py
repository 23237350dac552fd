"""Pages to Slack and what takes its incoming webhooks (Mattermost, Rocket.Chat, Zulip ...).

https://api.slack.com/messaging/webhooks: ``text`` and ``attachments`` with a colour. ``&``, ``<`` and ``>`` are escaped, so
that no name from outside can mention a channel. When others join an incident no further message is sent.
"""

from typing import Any, Final

from alerts.notify.http import JsonPoster, label
from alerts.notify.queued import QueuedNotifier
from alerts.page import PageEvent

_COLOURS: Final = {"page": "#c4162a", "ticket": "#f2cc0c", "resolve": "#37872d", "drill": "#5794f2"}
LONGEST: Final = 3000


def body(event: PageEvent) -> dict[str, Any]:
    """The event as an incoming webhook takes it."""
    first, _, rest = escaped(event.text).partition("\n")
    colour = "resolve" if event.kind == "resolve" else "drill" if event.drill else event.severity
    return {
        "text": first,
        "attachments": [{"color": _COLOURS[colour], "fallback": first, "text": rest[:LONGEST], "mrkdwn_in": []}],
    }


def escaped(text: str) -> str:
    """Text without Slack's own marks."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class SlackSender:
    """Posts events to an incoming webhook."""

    def __init__(self, poster: JsonPoster) -> None:
        self._poster = poster

    def send(self, event: PageEvent) -> None:
        """As :meth:`alerts.notify.base.Sender.send`."""
        self._poster.post(body(event), event.id)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()


def slack(url: str, **options: Any) -> QueuedNotifier:
    """A notifier for the incoming webhook at ``url``; options as for a webhook.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """
    return QueuedNotifier(label("slack", url), SlackSender(JsonPoster(url)), **{"updates": False, **options})
