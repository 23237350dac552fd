"""Notifiers against a real HTTP server that takes, fails, hangs and says 429."""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest

from alerts.notify import QueuedNotifier, alertmanager, slack, webhook
from alerts.notify.alertmanager import alert
from alerts.notify.base import DeliveryError
from alerts.notify.http import JsonPoster, shown
from alerts.notify.webhook import WebhookSender
from alerts.page import PageEvent, event_from
from telemetry.errors import ConfigurationError, OverloadedError, UnavailableError
from tests.unit.alerts.alerts_support import T0, make_event
from tests.unit.alerts.http_receiver import Receiver, receiving, until

FAST: dict[str, Any] = {"first_backoff_seconds": 0.01, "longest_backoff_seconds": 0.05}
TRIGGER = make_event()
RESOLVE = make_event(kind="resolve", at=T0 + 100)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def impatient(receiver: Receiver) -> QueuedNotifier:
    """A webhook notifier that waits 0.2 s for an answer."""
    return QueuedNotifier("hook", WebhookSender(JsonPoster(f"{receiver.url}/hook", read_seconds=0.2)), **FAST)


def test_a_webhook_gets_the_documented_payload(receiver: Receiver) -> None:
    notifier = webhook(f"{receiver.url}/hook?key=s3cret", **FAST)
    notifier.notify(TRIGGER)
    notifier.notify(RESOLVE)
    notifier.close(5)
    assert [event_from(b) for b in receiver.taken] == [TRIGGER, RESOLVE]
    assert receiver.paths == ["/hook?key=s3cret"] * 2
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert receiver.headers[0]["Idempotency-Key"] == f"{TRIGGER.dedup_key}/trigger/4000867200.000"
    assert (notifier.delivered, notifier.failed, notifier.dropped) == (2, 0, 0)


@pytest.mark.parametrize("make", [webhook, slack])
@pytest.mark.parametrize("value", ["münchen", "日本", "50%", "two\nlines", "a b"])
def test_names_from_outside_need_not_be_ascii(receiver: Receiver, value: str, make: Any) -> None:
    """They are in the key, which is sent as a header; one key is not mistaken for another."""
    notifier = make(receiver.url, **FAST)
    notifier.notify(replace(TRIGGER, value=value, dedup_key=f"edgepath/{value}"))
    notifier.close(5)
    assert (notifier.delivered, notifier.failed) == (1, 0)
    key = receiver.headers[0]["Idempotency-Key"]
    assert unquote(key) == f"edgepath/{value}/trigger/4000867200.000"


@pytest.mark.parametrize(
    "answer", [(500, {}), (503, {"Retry-After": "0"}), (429, {"Retry-After": "0"}), (429, {}), (408, {})]
)
def test_failures_that_pass_are_tried_again_in_order(receiver: Receiver, answer: tuple[int, dict[str, str]]) -> None:
    receiver.answers = [answer] * 3
    notifier = webhook(receiver.url, **FAST)
    notifier.notify(TRIGGER)
    notifier.notify(RESOLVE)
    until(lambda: notifier.delivered == 2)
    assert [b["kind"] for b in receiver.bodies] == ["trigger"] * 4 + ["resolve"]
    assert len({h["Idempotency-Key"] for h in receiver.headers[:4]}) == 1
    notifier.close(5)


@pytest.mark.parametrize("status", [400, 401, 404, 301])
def test_a_refusal_is_final_and_logged_and_the_next_goes_on(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A redirect is a refusal too: a page is not sent to whoever the receiver names."""
    receiver.answers = [(status, {"Location": f"{receiver.url}/elsewhere"})]
    notifier = webhook(receiver.url, **FAST)
    notifier.notify(TRIGGER)
    notifier.notify(RESOLVE)
    until(lambda: notifier.delivered == 1)
    assert [b["kind"] for b in receiver.bodies] == ["trigger", "resolve"]
    assert notifier.failed == 1
    assert f"answered {status}" in caplog.text
    assert TRIGGER.summary in caplog.text
    notifier.close(5)


def test_a_hanging_receiver_is_left_after_its_time_and_tried_again(receiver: Receiver) -> None:
    receiver.answers = [(0, {}), (0, {})]
    notifier = impatient(receiver)
    notifier.notify(TRIGGER)
    until(lambda: notifier.delivered == 1)
    assert len(receiver.bodies) == 3
    notifier.close(5)


def test_telling_never_waits_for_the_receiver(receiver: Receiver) -> None:
    receiver.answers = [(0, {})] * 50
    notifier = impatient(receiver)
    before = time.monotonic()
    for _ in range(200):
        notifier.notify(TRIGGER)
    assert time.monotonic() - before < 2  # 200 hanging requests would take 40 s
    before = time.monotonic()
    notifier.close(0.3)
    assert time.monotonic() - before < 3


def test_a_full_queue_drops_the_oldest_and_says_so(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.answers = [(500, {})] * 1000
    notifier = webhook(receiver.url, capacity=3, first_backoff_seconds=60)
    for n in range(6):
        notifier.notify(make_event(slo=f"slo-{n}"))
    assert notifier.dropped == 3
    assert "too many messages wait; dropped: PAGE slo-0" in caplog.text
    notifier.close(0)
    assert "not delivered before the stop: PAGE slo-5" in caplog.text


def test_one_event_is_given_up_after_its_time(receiver: Receiver) -> None:
    receiver.answers = [(500, {})] * 1000
    notifier = webhook(receiver.url, **FAST, give_up_seconds=1)
    notifier.notify(TRIGGER)
    until(lambda: notifier.failed == 1)
    assert len(receiver.bodies) >= 2
    receiver.answers = []
    notifier.notify(RESOLVE)
    until(lambda: notifier.delivered == 1)
    notifier.close(5)


def test_closing_delivers_what_waits(receiver: Receiver) -> None:
    receiver.answers = [(503, {})] * 2
    notifier = webhook(receiver.url, **FAST)
    for event in (TRIGGER, RESOLVE, TRIGGER):
        notifier.notify(event)
    notifier.close(5)
    assert [b["kind"] for b in receiver.taken] == ["trigger", "resolve", "trigger"]
    notifier.notify(TRIGGER)  # after the end: nothing happens
    notifier.close(1)
    assert len(receiver.taken) == 3


def test_a_bug_in_one_message_does_not_stop_the_next() -> None:
    class Buggy:
        def __init__(self) -> None:
            self.sent: list[PageEvent] = []

        def send(self, event: PageEvent) -> None:
            if event.kind == "trigger":
                raise RuntimeError("bug")
            self.sent.append(event)

        def close(self) -> None:
            """Nothing to close."""

    sender = Buggy()
    notifier = QueuedNotifier("buggy", sender)
    notifier.notify(TRIGGER)
    notifier.notify(RESOLVE)
    notifier.close(5)
    assert (sender.sent, notifier.failed) == ([RESOLVE], 1)


def test_nobody_there_is_unavailable_and_secrets_stay_out_of_logs_and_errors(caplog: pytest.LogCaptureFixture) -> None:
    """Not the path, not the query, not the password: not in our messages, nor in httpx's own log of requests."""
    with receiving() as server:
        url = server.url.replace("http://", "http://user:pass-s3cret@") + "/services/s3cret?token=s3cret"
        notifier = webhook(url, **FAST, give_up_seconds=0.2)
        with caplog.at_level(logging.DEBUG):
            notifier.notify(TRIGGER)
            until(lambda: notifier.delivered == 1)
    poster = JsonPoster(url)
    with caplog.at_level(logging.DEBUG), pytest.raises(UnavailableError) as caught:
        poster.post({})
    with caplog.at_level(logging.DEBUG):
        notifier.notify(TRIGGER)
        until(lambda: notifier.failed == 1)
        notifier.close(1)
    assert "HTTP Request: POST http://127.0.0.1" in caplog.text
    assert "does not answer" in caplog.text
    assert "s3cret" not in caplog.text + str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url", ["", "ftp://h/s3cret", "hooks.test/s3cret", "http://", "http://[h/s3cret", "http://h:99999999/s3cret"]
)
def test_a_url_that_cannot_be_posted_to_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a URL to send pages to") as caught:
        webhook(url)
    assert "/s3cret" not in str(caught.value)


def test_what_is_shown_of_a_url() -> None:
    assert shown("https://user:secret@hooks.test:8443/T0/B0?x=1") == "https://hooks.test:8443/..."


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (429, {"Retry-After": "7"}, OverloadedError),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, UnavailableError),
        (502, {}, UnavailableError),
        (403, {"Retry-After": "7"}, DeliveryError),
    ],
)
def test_statuses_become_errors(
    receiver: Receiver, status: int, headers: dict[str, str], error: type[Exception]
) -> None:
    receiver.answers = [(status, headers)]
    with pytest.raises(error) as caught:
        JsonPoster(receiver.url).post({})
    if isinstance(caught.value, OverloadedError):
        assert caught.value.retry_after == 7


def test_no_thread_before_the_first_event() -> None:
    before = threading.active_count()
    webhook("http://127.0.0.1:9/hook").close(1)
    assert threading.active_count() == before


def test_alertmanager_gets_its_alert(receiver: Receiver) -> None:
    """Labels name the alert and do not change from trigger to resolve; what changes is an annotation."""
    notifier = alertmanager(f"{receiver.url}/", **FAST)
    notifier.notify(TRIGGER)
    notifier.notify(RESOLVE)
    notifier.close(5)
    assert receiver.paths == ["/api/v2/alerts"] * 2
    (opened,), (resolved,) = receiver.taken
    assert opened["labels"] == resolved["labels"] == {
        "alertname": "EdgepathBurnRate", "slo": "edge-availability", "service": "edge", "environment": "prod",
        "severity": "page", "pop": "fra",
    }  # fmt: skip
    assert opened["startsAt"] == resolved["startsAt"] == "2096-10-12T08:00:00.000Z"
    assert opened["endsAt"] == "2096-10-12T09:00:00.000Z"
    assert resolved["endsAt"] == "2096-10-12T08:01:40.000Z"
    assert opened["annotations"]["summary"] == TRIGGER.summary
    assert opened["annotations"]["tier"] == "edge"
    assert opened["generatorURL"] == TRIGGER.dashboard_url


def test_empty_labels_and_annotations_are_left_out() -> None:
    bare = make_event(environment="", service="", dimension="", value="", blame=(), runbook_url="", dashboard_url="")
    body = alert(bare)
    assert set(body["labels"]) == {"alertname", "slo", "severity"}
    assert all(body["annotations"].values())
    assert "generatorURL" not in body


def test_open_alerts_are_sent_again_to_an_alertmanager_that_forgets(receiver: Receiver) -> None:
    notifier = alertmanager(receiver.url, **FAST)
    notifier.refresh([TRIGGER], T0)  # just sent as an event of its own
    notifier.refresh([TRIGGER], T0 + 59)
    assert receiver.bodies == []
    notifier.refresh([TRIGGER], T0 + 60)
    notifier.refresh([TRIGGER], T0 + 61)
    notifier.close(5)
    ((again,),) = receiver.taken
    assert again["startsAt"] == "2096-10-12T08:00:00.000Z"
    assert again["endsAt"] == "2096-10-12T09:01:00.000Z"


def test_open_alerts_are_sent_again_when_the_clock_was_set_back(receiver: Receiver) -> None:
    """To after the alert began; what began later than now is not sent, for its end would be earlier than it was said before."""
    notifier = alertmanager(receiver.url, **FAST)
    notifier.refresh([TRIGGER], T0 + 9000)
    until(lambda: notifier.delivered == 1)
    notifier.refresh([TRIGGER], T0 + 1800)
    notifier.refresh([TRIGGER], T0 + 1850)
    notifier.close(5)
    assert len(receiver.taken) == 2


def test_a_webhook_is_told_once(receiver: Receiver) -> None:
    notifier = webhook(receiver.url, **FAST)
    notifier.refresh([TRIGGER], T0 + 1000)
    notifier.close(1)
    assert receiver.bodies == []
