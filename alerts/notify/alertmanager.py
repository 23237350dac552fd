"""Pages to a Prometheus Alertmanager, API v2 (https://prometheus.io/docs/alerting/latest/alerts_api/).

Labels name the alert and never change while it is open; everything that does change is an annotation. Where an alert that
opened one page opens another while that is open for others, the later one has a label ``incident``. Alertmanager forgets
alerts that nobody repeats (and all of them when it restarts): open ones are sent again every minute. Each says when it may
be forgotten, ``hold_seconds`` after it was last sent, long enough that a restart of the watcher resolves nothing.
"""

from typing import Any, Final

from alerts.incidents import again
from alerts.notify.http import JsonPoster, label
from alerts.notify.queued import QueuedNotifier
from alerts.page import BURN, PageEvent, rfc3339

HOLD_SECONDS: Final = 3600.0
RESEND_SECONDS: Final = 60.0
ALERT_NAME: Final = "EdgepathBurnRate"
BLIND_NAME: Final = "EdgepathBlind"


def alert(event: PageEvent, hold_seconds: float = HOLD_SECONDS) -> dict[str, Any]:
    """The event as an Alertmanager ``postableAlert``."""
    labels = {
        "alertname": ALERT_NAME if event.is_burn else BLIND_NAME,
        "cause": "" if event.cause == BURN else event.cause,
        "slo": event.slo,
        "service": event.service,
        "deployment": event.deployment,
        "environment": event.environment,
        "severity": event.severity,
        **({event.dimension: event.value} if event.dimension else {}),
        "drill": "true" if event.drill else "",
        "incident": str(int(event.started))
        if event.dedup_key == again(event.dedup_key.rpartition("@")[0], event.started)
        else "",
    }
    annotations = {
        "summary": event.summary,
        "description": event.text,
        "tier": event.tier,
        "runbook_url": event.runbook_url,
        "dashboard_url": event.dashboard_url,
        "trace_ids": " ".join(event.trace_ids),
        "dedup_key": event.dedup_key,
    }
    ends = event.at if event.kind == "resolve" else event.at + hold_seconds
    body: dict[str, Any] = {
        # Alertmanager takes an empty label for an absent one.
        "labels": {k: v for k, v in labels.items() if v},
        "annotations": {k: v for k, v in annotations.items() if v},
        "startsAt": rfc3339(event.started),
        "endsAt": rfc3339(ends),
    }
    if event.dashboard_url:
        body["generatorURL"] = event.dashboard_url
    return body


class AlertmanagerSender:
    """Posts events to ``/api/v2/alerts``."""

    def __init__(self, poster: JsonPoster, hold_seconds: float = HOLD_SECONDS) -> None:
        self._poster = poster
        self._hold_seconds = hold_seconds

    def send(self, event: PageEvent) -> None:
        """As :meth:`alerts.notify.base.Sender.send`."""
        self._poster.post([alert(event, self._hold_seconds)])

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()


def alertmanager(url: str, **options: Any) -> QueuedNotifier:
    """A notifier for the Alertmanager at ``url`` (its base, e.g. ``http://host:9093``); options as for a webhook.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """
    poster = JsonPoster(f"{url.rstrip('/')}/api/v2/alerts")
    return QueuedNotifier(
        label("alertmanager", url), AlertmanagerSender(poster), **{"resend_seconds": RESEND_SECONDS, **options}
    )
