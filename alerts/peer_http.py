"""Another watcher asked over HTTP: ``/peer`` of its ``--observe`` address."""

import json
import logging
import queue
import threading
from typing import Any, Final

import httpx

from alerts.notify.http import USER_AGENT, checked, shown
from alerts.peers import Ask, Stage, Standing

_log = logging.getLogger(__name__)
PATH: Final = "/peer"
_SECONDS: Final = 2.0
_MOST_BYTES: Final = 16 * 1024


def standing_as_json(standing: Standing) -> dict[str, Any]:
    """What ``/peer`` answers."""
    return {
        "instance": standing.instance,
        "outage": standing.stage.value,
        "evaluated_seconds_ago": standing.evaluated_seconds_ago,
        "deployment": standing.deployment,
    }


def asking(url: str, seconds: float = _SECONDS) -> Ask:
    """Asks the watcher whose ``--observe`` address is under ``url``, for ``seconds`` in all.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """
    place = checked(url, "the address of another watcher; write http://HOST:PORT").rstrip("/") + PATH
    busy = threading.Lock()

    def fetch(found: queue.SimpleQueue[Standing | str]) -> None:
        try:
            found.put(_fetched(place, seconds))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with who answers there
            found.put(type(error).__name__)
        finally:
            busy.release()

    def ask() -> Standing | None:
        found: queue.SimpleQueue[Standing | str] = queue.SimpleQueue()
        answer: Standing | str = "it has not yet answered what it was asked before"
        # In a thread of its own, for httpx bounds each step and not the whole: who answers byte by byte must not hold a page
        # back. One at a time, or such a one would gather them.
        if busy.acquire(blocking=False):
            threading.Thread(target=fetch, args=(found,), name="edgepath-peer", daemon=True).start()
            try:
                answer = found.get(timeout=seconds)
            except queue.Empty:
                answer = f"not within {seconds:g} s"
        if isinstance(answer, Standing):
            return answer
        _log.warning("the watcher at %s does not answer (%s)", shown(url), answer)
        return None

    return ask


def _fetched(place: str, seconds: float) -> Standing:
    # A connection of its own each time: it is asked in an outage only.
    with httpx.stream("GET", place, timeout=seconds, headers={"User-Agent": USER_AGENT}) as answer:
        answer.raise_for_status()
        body = b""
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise ValueError("more than a watcher says")
    said = json.loads(body)
    ago = said["evaluated_seconds_ago"]
    deployment = str(said.get("deployment", ""))[:100]  # an older release says none
    return Standing(str(said["instance"])[:100], Stage(said["outage"]), None if ago is None else float(ago), deployment)
