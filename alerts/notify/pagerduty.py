"""Pages to PagerDuty, Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/overview/).

A trigger with a ``dedup_key`` that is open updates that incident and wakes nobody again; ``resolve`` with the key closes it.
"""

import hashlib
from typing import Any, Final

from alerts.notify.http import JsonPoster, label
from alerts.notify.queued import QueuedNotifier
from alerts.page import PageEvent, rfc3339

URL: Final = "https://events.pagerduty.com/v2/enqueue"
LONGEST_KEY: Final = 255
LONGEST_SUMMARY: Final = 1024


def key(dedup_key: str) -> str:
    """The event's key as PagerDuty takes it: at most 255 characters, one that is longer by its hash."""
    if len(dedup_key) <= LONGEST_KEY:
        return dedup_key
    digest = hashlib.sha256(dedup_key.encode()).hexdigest()
    return f"{dedup_key[: LONGEST_KEY - len(digest) - 1]}/{digest}"


def body(event: PageEvent, routing_key: str) -> dict[str, Any]:
    """The event as PagerDuty takes it."""
    told: dict[str, Any] = {"routing_key": routing_key, "dedup_key": key(event.dedup_key)}
    if event.kind == "resolve":
        return {**told, "event_action": "resolve"}
    places = [b.to_dict() for b in event.blame]
    details = {
        "text": event.text,
        "slo": event.slo,
        **({"deployment": event.deployment} if event.deployment else {}),
        "environment": event.environment,
        event.dimension or "group": event.value,
        "burn_rates": {"long": event.long_burn, "short": event.short_burn, "long_at_least": event.long_low},
        "budget_left": event.budget_left,
        "blame": places,
        "trace_ids": list(event.trace_ids),
        "cause": event.cause,
    }
    links = [
        {"href": url, "text": what}
        for url, what in ((event.dashboard_url, "dashboard"), (event.runbook_url, "runbook"))
        if url.startswith(("http://", "https://"))
    ]
    severity = "info" if event.drill else "critical" if event.severity == "page" else "warning"
    return {
        **told,
        "event_action": "trigger",
        "client": "Edgepath",
        **({"client_url": event.dashboard_url} if event.dashboard_url else {}),
        "payload": {
            "summary": event.summary[:LONGEST_SUMMARY],
            "source": event.value or event.environment or event.deployment or "edgepath",
            "severity": severity,
            "timestamp": rfc3339(event.started),
            "component": event.blame[0].component if event.blame else event.tier,
            "group": event.service,
            "class": event.slo or event.cause,
            "custom_details": details,
        },
        "links": links,
    }


class PagerDutySender:
    """Posts events to ``/v2/enqueue``."""

    def __init__(self, poster: JsonPoster, routing_key: str) -> None:
        self._poster = poster
        self._routing_key = routing_key

    def send(self, event: PageEvent) -> None:
        """As :meth:`alerts.notify.base.Sender.send`."""
        self._poster.post(body(event, self._routing_key))

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()


def pagerduty(routing_key: str, url: str = URL, **options: Any) -> QueuedNotifier:
    """A notifier for a PagerDuty service by its integration's routing key; options as for a webhook.

    Raises:
        ConfigurationError: ``url`` (of the EU's service region, or a proxy) is not an HTTP URL.
    """
    sender = PagerDutySender(JsonPoster(url), routing_key)
    return QueuedNotifier(label("pagerduty", url, routing_key), sender, **options)
