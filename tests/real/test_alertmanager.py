"""Our notifier against a real Alertmanager, which passes the alert on to a receiver of ours."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerts.blame import Blame
from alerts.incidents import Incidents, regroup
from alerts.notify import Settled, alertmanager
from alerts.page import PageEvent
from tests.real.parts.alertmanager import Alertmanager
from tests.unit.alerts.alerts_support import make_event
from tests.unit.alerts.http_receiver import Receiver, receiving, until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where Alertmanager sends to."""
    with receiving() as server:
        yield server


@pytest.fixture
def manager(tmp_path: Path, receiver: Receiver) -> Iterator[Alertmanager]:
    """A started Alertmanager."""
    one = Alertmanager(tmp_path / "alertmanager", f"{receiver.url}/hook")
    try:
        yield one.start()
    finally:
        one.stop()


def page() -> PageEvent:
    """A page of now: Alertmanager holds what has ended for resolved."""
    now = round(time.time(), 3)
    return make_event(at=now, started=now, blame=(Blame("edge", "envoy-fra", "fra", "UF", 9.0, 9),))


def active(manager: Alertmanager) -> list[dict[str, Any]]:
    """The alerts that it holds for active."""
    return list(json.loads(manager.get("/api/v2/alerts")[1]))


def test_a_page_is_active_passed_on_and_resolved(manager: Alertmanager, receiver: Receiver) -> None:
    event = page()
    notifier = alertmanager(manager.url)
    notifier.notify(event)
    until(lambda: len(receiver.taken) == 1, 30)
    (alert,) = active(manager)
    assert alert["status"]["state"] == "active"
    assert (alert["labels"]["alertname"], alert["labels"]["pop"]) == ("EdgepathBurnRate", "fra")
    assert alert["annotations"]["summary"] == event.summary
    assert alert["generatorURL"] == event.dashboard_url
    assert receiver.taken[0]["status"] == "firing"

    # Alertmanager may have passed it on before our side has heard that it was taken; nothing is repeated until then.
    until(lambda: list(notifier.settled()) == [Settled(event.id)], 30)
    notifier.refresh([event], event.at + 120)
    until(lambda: notifier.delivered == 2, 30)
    (again,) = active(manager)
    assert again["fingerprint"] == alert["fingerprint"]
    assert again["startsAt"] == alert["startsAt"]
    assert again["endsAt"] > alert["endsAt"]

    notifier.notify(replace(event, kind="resolve", at=round(time.time(), 3)))
    until(lambda: len(receiver.taken) == 2, 30)
    notifier.close(5)
    assert receiver.taken[1]["status"] == "resolved"
    assert active(manager) == []
    assert (notifier.delivered, notifier.failed) == (3, 0)


def test_an_incident_of_several_alerts_is_one_alert(manager: Alertmanager) -> None:
    """It ends with its last alert, whichever that is; what opened it may open another one meanwhile."""
    first = page()
    now = first.at
    sustained = replace(first, value="iad", cause="sustained", factor="", dedup_key="edgepath/iad", at=now + 0.1)
    notifier = alertmanager(manager.url)
    incidents: Incidents = {}

    def play(at: float, *changes: PageEvent) -> None:
        nonlocal incidents
        incidents, told = regroup(incidents, changes, 1, at)
        for event in told:
            notifier.notify(event)
        delivered = notifier.delivered + len(told)
        until(lambda: notifier.delivered == delivered, 30)

    def incident_labels() -> list[str | None]:
        return sorted((a["labels"].get("incident") for a in active(manager)), key=str)

    play(now, first)
    play(now + 0.1, sustained)
    assert [a["labels"]["pop"] for a in active(manager)] == ["fra"]
    play(now + 0.2, replace(first, kind="resolve", at=now + 0.2))
    until(lambda: time.time() > now + 2, 10)
    again = replace(first, at=round(time.time(), 3), started=round(time.time(), 3))
    play(again.at, again)
    assert incident_labels() == sorted([None, str(int(again.started))], key=str)
    play(time.time(), replace(again, kind="resolve", at=round(time.time(), 3)))
    assert incident_labels() == [None]
    play(time.time(), replace(sustained, kind="resolve", at=round(time.time(), 3)))
    assert active(manager) == []
    notifier.close(5)


def test_a_page_waits_for_an_alertmanager_that_is_down(
    manager: Alertmanager, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    manager.kill()
    notifier = alertmanager(manager.url, first_backoff_seconds=0.2)
    notifier.notify(page())
    until(lambda: "next attempt" in caplog.text, 30)
    assert notifier.delivered == 0
    manager.start()
    until(lambda: len(receiver.taken) == 1, 30)
    notifier.close(5)
    assert notifier.delivered == 1
