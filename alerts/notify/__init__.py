"""Who is told about pages: Alertmanager, PagerDuty, Slack and its like, a webhook, a callback; and a dead-man's switch."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from alerts.notify.alertmanager import alertmanager
from alerts.notify.base import DeliveryError, Notifier, Settled
from alerts.notify.callback import CallbackNotifier
from alerts.notify.heartbeat import heartbeat
from alerts.notify.pagerduty import pagerduty
from alerts.notify.queued import QueuedNotifier
from alerts.notify.slack import slack
from alerts.notify.webhook import webhook
from alerts.slos.model import Target
from telemetry.errors import ConfigurationError

__all__ = [
    "CallbackNotifier",
    "DeliveryError",
    "Notifier",
    "QueuedNotifier",
    "Settled",
    "alertmanager",
    "for_targets",
    "heartbeat",
    "pagerduty",
    "slack",
    "webhook",
]


_MAKERS: dict[str, Callable[..., QueuedNotifier]] = {
    "alertmanager": alertmanager,
    "pagerduty": pagerduty,
    "slack": slack,
    "webhook": webhook,
}


def for_targets(targets: Iterable[Target], environment: Mapping[str, str] = os.environ) -> list[Notifier]:
    """A notifier for each OpenSLO notification target; each is told only of the alerts whose policies name it.

    Raises:
        ConfigurationError: a target's environment variable is not set, or its file cannot be read, or they hold no URL.
    """
    made: list[Notifier] = []
    for target in targets:
        where = environment.get(target.variable, "") if target.variable else target.url or _held(target)
        if not where:
            raise ConfigurationError(
                f"{target.file}: the notification target {target.name} is to be found in {target.variable}, which is not set"
            )
        made.append(_MAKERS[target.kind](where, only=target.name))
    return made


def _held(target: Target) -> str:
    """The first line of a target's file."""
    named = f"{target.file}: the notification target {target.name} is to be found in {target.path}, which"
    try:
        lines = Path(target.path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{named} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{named} does not hold text in UTF-8") from None
    if not lines or not (held := lines[0].strip()):
        raise ConfigurationError(f"{named} is empty: its first line must be the URL or the key")
    return held
