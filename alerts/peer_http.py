"""Another watcher asked over HTTP: ``/peer`` of its ``--observe`` address."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import httpx

from alerts.notify.http import USER_AGENT, checked, shown
from alerts.peers import Ask, Stage, Standing

_log = logging.getLogger(__name__)
PATH: Final = "/peer"
_SECONDS: Final = 2.0


def standing_as_json(standing: Standing) -> dict[str, Any]:
    """What ``/peer`` answers."""
    return {
        "instance": standing.instance,
        "outage": standing.stage.value,
        "evaluated_seconds_ago": standing.evaluated_seconds_ago,
    }


def asking(url: str) -> Ask:
    """Asks the watcher whose ``--observe`` address is under ``url``, two seconds for each step.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """
    place = checked(url, "the address of another watcher; write http://HOST:PORT").rstrip("/") + PATH

    def ask() -> Standing | None:
        try:
            # A connection of its own each time: it is asked in an outage only.
            answer = httpx.get(place, timeout=_SECONDS, headers={"User-Agent": USER_AGENT})
            answer.raise_for_status()
            return _standing(answer.json())
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            _log.warning("the watcher at %s does not answer (%s)", shown(url), type(error).__name__)
            return None

    return ask


def _standing(body: Mapping[str, Any]) -> Standing:
    ago = body["evaluated_seconds_ago"]
    return Standing(str(body["instance"])[:100], Stage(body["outage"]), None if ago is None else float(ago))
