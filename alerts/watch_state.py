"""What the watcher remembers: open alerts, kept in a small JSON file across restarts."""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from alerts.burnrate import Severity
from alerts.decide import AlertState
from alerts.page import PageEvent, event_from
from alerts.sli_reads import Group
from telemetry.errors import ConfigurationError

VERSION = 1
_log = logging.getLogger(__name__)


class AlertKey(NamedTuple):
    """What one alert is: a group of an SLO at a severity."""

    group: Group
    severity: Severity

    @property
    def dedup_key(self) -> str:
        """Short, stable text for receivers that fold repetitions."""
        return "/".join(part or "-" for part in ("edgepath", *self.group, self.severity))


@dataclass(frozen=True)
class OpenAlert:
    """An open alert: where it stands, and the event that opened it."""

    state: AlertState
    event: PageEvent


def load(path: Path) -> dict[AlertKey, OpenAlert]:
    """The open alerts of a file; none if it is not there.

    Raises:
        ConfigurationError: it cannot be read, or is not such a file: better than to page again or to forget a page.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the watcher's state {path}: {error}") from error
    try:
        told = json.loads(text)
        if told["version"] != VERSION:
            raise ValueError(f"version {told['version']}")
        return dict(_alert(entry) for entry in told["open"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the watcher's state {path} cannot be used ({error}); move it away, and open alerts will page again"
        ) from error


def save(path: Path, alerts: dict[AlertKey, OpenAlert]) -> None:
    """Replace the file in one step. A failure is logged and not raised: paging goes on without it."""
    told = {
        "version": VERSION,
        "open": [
            {"group": list(k.group), "severity": k.severity, "state": asdict(a.state), "event": a.event.to_dict()}
            for k, a in sorted(alerts.items(), key=lambda item: item[0])
        ],
    }
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        _log.error("cannot write the watcher's state %s (%s): a restart would page again", path, error)


def _alert(entry: dict[str, Any]) -> tuple[AlertKey, OpenAlert]:
    state = AlertState(**{**entry["state"], "rules": tuple(entry["state"]["rules"])})
    severity: Severity = "page" if entry["severity"] == "page" else "ticket"
    return AlertKey(Group(*entry["group"]), severity), OpenAlert(state, event_from(entry["event"]))
