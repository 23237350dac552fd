"""Access log lines to spans: what is read, what is refused, and an endpoint that does not take them."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from telemetry.adapt import adapter as adapters
from telemetry.adapt.adapter import Adapter
from telemetry.adapt.lines import parse
from telemetry.adapt.spans import spans
from telemetry.cli.adapt import adapt
from telemetry.errors import ConfigurationError, MalformedError
from tests.unit.sdk.sdk_support import closed_port, collector, endpoint, until

LINE: dict[str, Any] = {
    "trace": "d" * 32,
    "parent": "e" * 16,
    "sampled": "01",
    "state": "ot=th:8",
    "span": "a" * 16,
    "attempt": "b" * 16,
    "end": "1780000000.500",
    "took": "0.300",
    "status": "200",
    "method": "GET",
    "path": "/v1/x",
    "client": "203.0.113.9",
    "host": "api.example.com",
    "port": "8443",
    "scheme": "https",
    "protocol": "HTTP/2.0",
    "agent": "t/1",
    "try_address": "10.0.0.1:80, [::1]:81",
    "try_status": "502, 200",
    "try_took": "0.100, 0.150",
}


def datagram(**changes: Any) -> bytes:
    """A syslog message with a good line, changed."""
    return b"<190>Nov 25 18:00:00 edgepath: " + json.dumps({**LINE, **changes}).encode()


def made(**changes: Any) -> list[Span]:
    """The spans of a good line, changed."""
    return spans(parse(datagram(**changes)))


def attributes(span: Span) -> dict[str, str | int]:
    """Its attributes."""
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


def test_a_line_is_an_inbound_span_and_its_tries() -> None:
    """Every nanosecond is where it belongs: tries one after the other, the last one ends with the request."""
    inbound, first, second = made()
    assert inbound.start_time_unix_nano == 1_780_000_000_200_000_000
    assert inbound.end_time_unix_nano == second.end_time_unix_nano == 1_780_000_000_500_000_000
    assert first.end_time_unix_nano == second.start_time_unix_nano == 1_780_000_000_350_000_000
    assert first.start_time_unix_nano == 1_780_000_000_250_000_000
    assert [span.kind for span in (inbound, first, second)] == [2, 3, 3]
    assert inbound.parent_span_id.hex() == "e" * 16
    assert first.parent_span_id == second.parent_span_id == inbound.span_id
    assert second.span_id.hex() == "b" * 16
    assert first.span_id not in (second.span_id, inbound.span_id)
    assert attributes(inbound) == {
        "http.request.method": "GET",
        "url.path": "/v1/x",
        "client.address": "203.0.113.9",
        "url.scheme": "https",
        "server.address": "api.example.com",
        "user_agent.original": "t/1",
        "network.protocol.version": "2",
        "server.port": 8443,
        "http.response.status_code": 200,
    }
    assert attributes(first)["error.type"] == "502"
    assert attributes(second) == {
        "http.request.method": "GET",
        "server.address": "::1",
        "server.port": 81,
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
    }


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": "500"}, "500"),
        ({"status": "499"}, "cancelled"),
        ({"status": "0"}, "0"),
        ({"status": "200", "ended_by": "CD"}, "cancelled"),
        ({"status": "504", "ended_by": "sH"}, "timeout"),
        ({"status": "503", "ended_by": "SC"}, "haproxy.SC"),
        ({"status": "404", "ended_by": "--"}, None),
    ],
)
def test_errors(changes: dict[str, Any], error: str | None) -> None:
    """By status, and by who ended it."""
    inbound = made(**changes)[0]
    assert attributes(inbound).get("error.type") == error
    assert (inbound.status.code == 2) is (error is not None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trace": "x"}, "trace is not 32 hex digits"),
        ({"trace": "0" * 32}, "trace, span and attempt are needed"),
        ({"span": None}, "trace, span and attempt are needed"),
        ({"end": "soon"}, "end is not a number"),
        ({"took": None}, "took is not a number"),
        ({"try_took": "4111111111111111x, 1"}, "try_took is not a number"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the field and never the value."""
    with pytest.raises(MalformedError, match=message) as caught:
        parse(datagram(**changes))
    assert "4111" not in str(caught.value)


@given(
    st.dictionaries(
        st.sampled_from(sorted(LINE)), st.one_of(st.text(max_size=40), st.integers(), st.none(), st.lists(st.text()))
    )
)
def test_hostile_lines(changes: dict[str, Any]) -> None:
    """A line is spans, or it is malformed: nothing else."""
    try:
        found = made(**changes)
    except MalformedError:
        return
    for span in found:
        assert len(span.SerializeToString()) < 10_000


@given(st.binary(max_size=200))
def test_hostile_datagrams(content: bytes) -> None:
    """The adapter counts them, and lives."""
    one = Adapter(("127.0.0.1", 0), "http://127.0.0.1:9", {})
    one.take(content)
    one.take(b"<1>" + content + b'{"trace":' + content)
    assert one.counts["lines"] == 2
    one._socket.close()


def test_cards_and_secrets() -> None:
    """Out of everything that is text."""
    kept = b"".join(
        span.SerializeToString()
        for span in made(path="/v1/cards/4111%201111%201111%201111", agent="4111111111111111", route="/x?api_key=abc")
    )
    assert b"[card]" in kept
    assert b"1111" not in kept
    assert b"api_key=abc" not in kept


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("acct_1", "acct_1"),
        ("", None),
        ("-", None),
        ("4111 1111 1111 1111", "[card]"),
        ("sk_" + "live_abcdefghijklmnop1234", "[secret]"),
        ("Bearer abcdef.ghijk", "Bearer [secret]"),
    ],
)
def test_tenants(said: str, expected: str | None) -> None:
    """On whose behalf a request came stands on its inbound span, redacted; nothing is made of nothing."""
    inbound, *tries = made(tenant=said)
    assert attributes(inbound).get("edgepath.tenant") == expected
    assert all("edgepath.tenant" not in attributes(one) for one in tries)


def test_a_tenant_of_another_field() -> None:
    """Of whatever a log line has; that one alone."""
    (inbound, *_) = spans(parse(datagram(tenant="no", merchant="m_7")), "merchant")
    assert attributes(inbound)["edgepath.tenant"] == "m_7"
    (inbound, *_) = spans(parse(datagram(tenant="no")), "merchant")
    assert "edgepath.tenant" not in attributes(inbound)
    (inbound, *_) = spans(parse(datagram()), "host")
    assert (attributes(inbound)["edgepath.tenant"], attributes(inbound)["server.address"]) == ("api.example.com",) * 2


def test_without_tries_and_not_sampled() -> None:
    """A request that the proxy answered itself; a trace that nobody keeps."""
    assert len(made(try_address="", try_status="", try_took="")) == 1
    assert made(sampled="00") == []
    assert len(made(sampled="")) == 3


@pytest.fixture
def sending() -> Iterator[socket.socket]:
    """A UDP socket to send from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        yield one


def test_from_syslog_to_otlp(sending: socket.socket) -> None:
    """Over a real socket, to a real endpoint, with the proxy's resource."""
    with collector() as here:
        one = Adapter(("127.0.0.1", 0), here.url, {"service.name": "nginx", "edgepath.tier": "edge"}, "merchant")
        one.start()
        sending.sendto(datagram(merchant="m_7"), ("127.0.0.1", one.port))
        until(lambda: len(here.spans()) == 3)
        sending.sendto(b"nonsense", ("127.0.0.1", one.port))
        until(lambda: one.counts["malformed"] == 1)
        one.stop()
        assert {each["service.name"] for each in here.resources()} == {"nginx"}
        assert [attributes(span).get("edgepath.tenant") for span in here.spans()] == ["m_7", None, None]
    assert (one.counts["sent"], one.counts["dropped"]) == (3, 0)


def test_an_endpoint_that_is_away_is_tried_again(sending: socket.socket) -> None:
    """Nothing is lost meanwhile; at the end what is left is counted."""
    tries = threading.Semaphore(0)

    def wait(stop: threading.Event, seconds: float) -> None:  # noqa: ARG001 - no test sleeps
        tries.release()
        stop.wait(0.01)

    one = Adapter(("127.0.0.1", 0), f"http://127.0.0.1:{closed_port()}", {}, wait=wait)
    one.start()
    sending.sendto(datagram(), ("127.0.0.1", one.port))
    for _ in range(3):
        assert tries.acquire(timeout=10)
    assert one.counts["dropped"] == 0
    one.stop()
    assert (one.counts["sent"], one.counts["dropped"]) == (0, 3)


def test_an_endpoint_that_refuses(sending: socket.socket) -> None:
    """A 400 is no use to repeat: dropped, counted, and the next batch is tried."""
    with endpoint(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") as port:
        one = Adapter(("127.0.0.1", 0), f"http://127.0.0.1:{port}", {})
        one.start()
        sending.sendto(datagram(), ("127.0.0.1", one.port))
        until(lambda: one.counts["dropped"] == 3)
        one.stop()


def test_a_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(adapters, "QUEUE", 2)
    one = Adapter(("127.0.0.1", 0), "http://127.0.0.1:9", {})
    for _ in range(5):
        one.take(datagram())
    assert one.counts["dropped"] == 9
    one._socket.close()


def test_a_port_that_is_taken(sending: socket.socket) -> None:
    """One line that says what to do."""
    sending.bind(("127.0.0.1", 0))
    with pytest.raises(ConfigurationError, match="--listen"):
        Adapter(("127.0.0.1", sending.getsockname()[1]), "http://127.0.0.1:9", {})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--service", "x", "--listen", "nonsense"], "HOST:PORT"),
        (["--service", "x", "--otlp", "collector:4318"], "URL"),
        (["--service", "x", "--tenant-field", "trace"], "another meaning"),
        (["--service", "x", "--tenant-field", "try_status"], "another meaning"),
        ([], "--service"),
        (["--help"], "deploy/nginx"),
    ],
)
def test_the_command(options: list[str], said: str) -> None:
    """Its errors and its help."""
    assert said in CliRunner().invoke(adapt, options).output
