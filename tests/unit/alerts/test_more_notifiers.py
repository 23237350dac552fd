"""PagerDuty, Slack, OpenSLO targets and the dead-man's switch, against a real HTTP server."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alerts import notify
from alerts.notify.alertmanager import alert
from alerts.notify.pagerduty import LONGEST_KEY, key
from alerts.notify.slack import body as slack_body
from alerts.outage import blind_event
from alerts.page import Member
from alerts.slos.model import Target
from telemetry.errors import ConfigurationError
from tests.unit.alerts.alerts_support import T0, make_event
from tests.unit.alerts.http_receiver import Receiver, receiving, until

FAST: dict[str, Any] = {"first_backoff_seconds": 0.01, "longest_backoff_seconds": 0.05}
TRIGGER, RESOLVE = make_event(), make_event(kind="resolve", at=T0 + 100)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Whoever gets the pages."""
    with receiving() as server:
        yield server


def test_pagerduty_gets_a_trigger_and_a_resolve_with_one_key(receiver: Receiver) -> None:
    """Events API v2, and 429 is tried again."""
    receiver.answers = [(429, {"Retry-After": "0"})]
    notifier = notify.pagerduty("R0UTING", f"{receiver.url}/v2/enqueue", **FAST)
    for event in (TRIGGER, RESOLVE):
        notifier.notify(event)
    until(lambda: len(receiver.taken) == 2)
    notifier.close(5)
    trigger, resolve = receiver.taken
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == TRIGGER.dedup_key
    assert (trigger["routing_key"], resolve["routing_key"]) == ("R0UTING", "R0UTING")
    payload = trigger["payload"]
    assert payload["summary"] == TRIGGER.summary
    assert {k: payload[k] for k in ("severity", "source", "component", "group", "class")} == {
        "severity": "critical", "source": "fra", "component": "envoy-fra", "group": "edge", "class": "edge-availability",
    }  # fmt: skip
    assert payload["timestamp"] == "2096-10-12T08:00:00.000Z"
    assert payload["custom_details"]["trace_ids"] == list(TRIGGER.trace_ids)
    assert [link["text"] for link in trigger["links"]] == ["dashboard"]  # a path in a repository is no link
    assert "payload" not in resolve
    assert "R0UTING" not in notifier.name


def test_tickets_and_drills_ring_more_softly_at_pagerduty(receiver: Receiver) -> None:
    notifier = notify.pagerduty("k", receiver.url, **FAST)
    notifier.notify(make_event(severity="ticket"))
    notifier.notify(make_event(drill=True))
    until(lambda: len(receiver.taken) == 2)
    notifier.close(5)
    assert [b["payload"]["severity"] for b in receiver.taken] == ["warning", "info"]


def test_pagerduty_keys_are_short_and_stay_apart() -> None:
    long = "edgepath/" + "x" * 400
    assert key(TRIGGER.dedup_key) == TRIGGER.dedup_key
    assert len(key(long)) == LONGEST_KEY
    assert key(long + "a") != key(long + "b")


def test_slack_shows_first_line_and_rest_and_no_marks_from_outside() -> None:
    event = make_event(value="<!channel> & co", blame=())
    told = slack_body(event)
    assert told["text"] == "PAGE edge-availability &lt;!channel&gt; &amp; co: 35% errors, burn 350x"
    assert told["attachments"][0]["text"].startswith("Requests reach the API.")
    assert told["attachments"][0]["color"] != slack_body(RESOLVE)["attachments"][0]["color"]


def test_slack_is_not_told_when_others_join(receiver: Receiver) -> None:
    grown = replace(TRIGGER, kind="update", members=(Member("a", "s", "fra", 0.1, "errors"),) * 2)
    assert not notify.slack(receiver.url).wants(grown)
    assert notify.webhook(receiver.url).wants(grown)


def test_openslo_targets_are_told_only_of_what_names_them(receiver: Receiver) -> None:
    target = Target("chat", "slack", "", "CHAT_URL", "", "a.yaml")
    (notifier,) = notify.for_targets([target], {"CHAT_URL": f"{receiver.url}/s3cret"})
    assert notifier.wants(make_event(targets=("on-call", "chat")))
    assert not notifier.wants(make_event())
    assert "s3cret" not in notifier.name
    with pytest.raises(
        ConfigurationError, match="the notification target chat is to be found in CHAT_URL, which is not set"
    ):
        notify.for_targets([target], {})


def test_where_an_openslo_target_is_may_be_in_a_file(receiver: Receiver, tmp_path: Path) -> None:
    """As clusters mount secrets; what is wrong with it is told without what it holds."""
    path = tmp_path / "chat"
    target = Target("chat", "slack", "", "", "", "a.yaml", str(path))

    def refused() -> str:
        with pytest.raises(ConfigurationError) as error:
            notify.for_targets([target], {})
        return str(error.value)

    named = f"a.yaml: the notification target chat is to be found in {path}, which"
    assert refused() == f"{named} cannot be read: No such file or directory"
    for content, problem in ((b"", "is empty"), (b" \nx", "is empty"), (b"\xff", "does not hold text in UTF-8")):
        path.write_bytes(content)
        assert refused().startswith(f"{named} {problem}")
    path.write_text("s3cret\n")
    assert "s3cret" not in refused()
    path.write_text(f"{receiver.url}/s3cret \r\nanother\n")
    (notifier,) = notify.for_targets([target], {})
    notifier.notify(make_event(targets=("chat",)))
    until(lambda: receiver.paths == ["/s3cret"])
    notifier.close(5)
    assert "s3cret" not in notifier.name


def test_receivers_on_one_host_have_names_of_their_own(receiver: Receiver) -> None:
    names = {notify.webhook(f"{receiver.url}/{path}").name for path in ("a", "b")}
    assert len(names) == 2
    assert {notify.webhook(f"{receiver.url}/a").name for _ in range(2)} <= names


def test_the_heartbeat_beats_once_a_minute_while_evaluations_go_well(receiver: Receiver) -> None:
    beat = notify.heartbeat(f"{receiver.url}/ping")
    for second in range(0, 130, 15):
        beat.refresh([], T0 + second)
        until(lambda due=second // 60 + 1: len(receiver.taken) == due)  # type: ignore[misc]  # a lambda's default
    beat.close(5)
    assert receiver.taken[0]["evaluated"] == "2096-10-12T08:00:00.000Z"
    assert not beat.wants(TRIGGER)
    assert beat.alive_only


def _has_taken(receiver: Receiver, count: int) -> bool:
    return len(receiver.taken) == count


def test_the_heartbeat_goes_on_when_the_clock_is_set_back(receiver: Receiver) -> None:
    beat = notify.heartbeat(f"{receiver.url}/ping")
    for count, at in enumerate((T0, T0 - 7200, T0 - 7140), 1):
        beat.refresh([], at)
        until(partial(_has_taken, receiver, count))
    beat.close(5)


def test_the_watchdog_always_fires_at_alertmanager(receiver: Receiver) -> None:
    beat = notify.heartbeat(receiver.url, watchdog=True)
    beat.refresh([], T0)
    until(lambda: len(receiver.taken) == 1)
    beat.refresh([], T0 + 60)
    until(lambda: len(receiver.taken) == 2)
    beat.close(5)
    assert receiver.paths == ["/api/v2/alerts"] * 2
    first, second = (body[0] for body in receiver.taken)
    assert first["labels"]["alertname"] == "EdgepathWatchdog"
    assert (first["startsAt"], second["startsAt"]) == ("2096-10-12T08:00:00.000Z",) * 2
    assert second["endsAt"] == "2096-10-12T08:06:00.000Z"


def test_blindness_has_a_name_of_its_own_at_alertmanager() -> None:
    event = blind_event("trigger", "lagging", "k", "page", "the pipeline lags 9m", T0, T0)
    labels = alert(event)["labels"]
    assert labels == {"alertname": "EdgepathBlind", "cause": "lagging", "service": "edgepath", "severity": "page"}
    assert event.summary == "PAGE edgepath: the pipeline lags 9m"
