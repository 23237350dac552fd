"""Hops and attempts: kinds, names, attributes, outcomes; sync, async and as decorators."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.trace import SpanKind

import telemetry
from telemetry.sdk.testing import Recorder, recording

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
INBOUND = {"Traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "Baggage": "tenant=acme"}


@pytest.fixture
def gateway() -> Iterator[Recorder]:
    with recording(tier="gateway") as recorder:
        yield recorder


@pytest.fixture
def client() -> Iterator[Recorder]:
    with recording(tier="client") as recorder:
        yield recorder


def test_a_hop_is_a_server_span_under_its_caller(gateway: Recorder) -> None:
    with telemetry.hop(method="POST", target="/v1/charges?card=4111", route="/v1/charges", headers=INBOUND) as hop:
        hop.status(201)
    (one,) = gateway.spans
    assert (one.name, one.kind, one.failed) == ("POST /v1/charges", SpanKind.SERVER, False)
    assert (one.trace_id, one.parent_id) == (TRACE, "00f067aa0ba902b7")
    assert one.attributes == {
        "http.request.method": "POST",
        "url.path": "/v1/charges",
        "http.route": "/v1/charges",
        "http.response.status_code": 201,
    }


def test_a_hop_says_for_whom(gateway: Recorder) -> None:
    """Given, or found later; a decorated function's at each call."""
    with telemetry.hop(tenant="acct_1"):
        pass
    with telemetry.hop(tenant="acct_1") as hop:
        hop.tenant("acct_2")

    @telemetry.hop("settle", tenant="acct_3")
    def settle() -> None:
        pass

    settle()
    assert [s.attributes.get("edgepath.tenant") for s in gateway.spans] == ["acct_1", "acct_2", "acct_3"]


def test_the_clients_hop_is_the_root_and_a_client_span(client: Recorder) -> None:
    with telemetry.hop(method="GET", route="/v1/refunds") as hop:
        with telemetry.attempt("GET", "https://api.example.com/v1/refunds?limit=3") as attempt:
            attempt.status(200)
        hop.status(200)
    (root,), (call,) = client.hops, client.attempts
    assert (root.kind, root.parent_id) == (SpanKind.CLIENT, None)
    assert (call.kind, call.parent_id, call.trace_id) == (SpanKind.CLIENT, root.span_id, root.trace_id)
    assert call.attributes == {
        "http.request.method": "GET",
        "url.scheme": "https",
        "server.address": "api.example.com",
        "server.port": 443,
        "url.path": "/v1/refunds",
        "http.response.status_code": 200,
    }


def test_a_route_found_later_renames_the_hop(gateway: Recorder) -> None:
    with telemetry.hop(method="GET") as hop:
        hop.route("/v1/customers/{id}")
    assert gateway.spans[0].name == "GET /v1/customers/{id}"
    assert gateway.spans[0].attributes["http.route"] == "/v1/customers/{id}"


@pytest.mark.parametrize(
    ("status", "server_fails", "client_fails"),
    [
        (200, False, False),
        (302, False, False),
        (404, False, True),
        (429, False, True),
        (500, True, True),
        (503, True, True),
    ],
)
def test_which_status_is_a_failure(gateway: Recorder, status: int, server_fails: bool, client_fails: bool) -> None:
    """Semantic conventions, HTTP spans: 4xx leaves a SERVER span's status unset and makes a CLIENT span an ERROR."""
    with telemetry.hop(method="GET") as hop:
        with telemetry.attempt("GET", "api") as attempt:
            attempt.status(status)
        hop.status(status)
    (call,), (inbound,) = gateway.attempts, gateway.hops
    assert (inbound.failed, call.failed) == (server_fails, client_fails)
    assert inbound.attributes.get("error.type") == (str(status) if server_fails else None)
    assert call.attributes.get("error.type") == (str(status) if client_fails else None)


def test_an_exception_passes_unchanged_and_leaves_only_its_class(gateway: Recorder) -> None:
    raised = ConnectionResetError("card 4111111111111111 refused")
    with pytest.raises(ConnectionResetError) as caught, telemetry.attempt("GET", "api"):
        raise raised
    assert caught.value is raised
    (one,) = gateway.spans
    assert one.failed
    assert one.attributes["error.type"] == "ConnectionResetError"
    assert "4111" not in str(one)


@pytest.mark.parametrize("error", [TimeoutError("x"), TimeoutError, "TimeoutError"])
def test_an_error_can_be_an_exception_a_class_or_a_name(gateway: Recorder, error: "BaseException | type | str") -> None:
    with telemetry.hop(method="GET") as hop:
        hop.error(error)
    assert gateway.spans[0].attributes["error.type"] == "TimeoutError"
    assert gateway.spans[0].failed


def test_a_cancelled_task_says_cancelled(gateway: Recorder) -> None:
    async def main() -> None:
        async def call() -> None:
            async with telemetry.attempt("GET", "api"):
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert gateway.spans[0].attributes["error.type"] == "cancelled"


def test_an_attempt_writes_its_own_span_and_the_baggage_into_headers(gateway: Recorder) -> None:
    with telemetry.hop(headers=INBOUND), telemetry.attempt("GET", "api", resend_count=2) as attempt:
        headers = attempt.headers({"accept": "text/plain"})
    (call,) = gateway.attempts
    assert headers["accept"] == "text/plain"
    assert headers["traceparent"].startswith(f"00-{TRACE}-{call.span_id}-")
    assert headers["baggage"] == "tenant=acme"
    assert call.attributes["http.request.resend_count"] == 2


def test_concurrent_attempts_are_siblings(gateway: Recorder) -> None:
    """Hedges: two attempts of one hop at the same time have the hop as parent, not each other."""

    async def call() -> None:
        async with telemetry.attempt("GET", "api"):
            await asyncio.sleep(0)

    async def main() -> None:
        async with telemetry.hop(method="GET"):
            await asyncio.gather(call(), call())

    asyncio.run(main())
    assert {call.parent_id for call in gateway.attempts} == {gateway.hops[0].span_id}


def test_decorated_functions_are_hops_of_their_own_each_call(gateway: Recorder) -> None:
    @telemetry.hop
    def settle(amount: int) -> int:
        return amount * 2

    @telemetry.hop("refund")
    async def refund(amount: int) -> int:
        await asyncio.sleep(0)
        return -amount

    @telemetry.hop(method="GET", route="/v1/ping")
    def ping() -> None:
        raise KeyError("x")

    async def both() -> list[int]:
        return list(await asyncio.gather(refund(1), refund(2)))

    assert settle(2) == 4
    assert asyncio.run(both()) == [-1, -2]
    with pytest.raises(KeyError):
        ping()
    assert [span.name.rpartition(".")[2] for span in gateway.spans] == ["settle", "refund", "refund", "GET /v1/ping"]
    assert len({span.trace_id for span in gateway.spans}) == 4
    assert settle.__name__ == "settle"


def test_a_generator_function_cannot_be_decorated() -> None:
    with pytest.raises(TypeError, match="generator function"):

        @telemetry.hop
        def stream() -> Iterator[int]:
            yield 1


def test_entering_an_active_hop_again_records_it_once(gateway: Recorder) -> None:
    hop = telemetry.hop(method="GET")
    with hop:
        with hop:
            pass
        hop.status(204)
    assert [span.attributes["http.response.status_code"] for span in gateway.spans] == [204]


@pytest.mark.parametrize(
    "target",
    [
        "http://[::1",
        "http://h:99999/x",
        "",
        "  ",
        "http://user:secret@h:81/p?token=secret#secret",
        "/p?secret",
        "::",
        "h:x",
    ],
)
def test_odd_targets_never_raise_and_never_leak(gateway: Recorder, target: str) -> None:
    with telemetry.hop(method="get", target=target), telemetry.attempt("GET", target) as attempt:
        attempt.status(200)
    assert len(gateway.spans) == 2
    assert "secret" not in str(gateway.spans)


def test_misuse_never_raises(gateway: Recorder) -> None:
    """Whatever is passed: the service goes on."""
    bad: object = object()
    with telemetry.hop(bad, method=bad, attributes=bad) as hop:  # type: ignore[call-overload]  # that is the test
        hop.status(bad)
        hop.status(99)
        hop.error(bad)
    with telemetry.attempt(bad, bad, attributes=bad) as attempt:  # type: ignore[arg-type]  # that is the test
        attempt.headers()
    assert all("http.response.status_code" not in span.attributes for span in gateway.spans)


def test_an_unknown_method_does_not_become_a_label(gateway: Recorder) -> None:
    with telemetry.hop(method="BREW", route="/pot"):
        pass
    assert gateway.spans[0].name == "HTTP /pot"
    assert gateway.spans[0].attributes["http.request.method"] == "_OTHER"
    assert gateway.spans[0].attributes["http.request.method_original"] == "BREW"


def test_request_metrics(gateway: Recorder) -> None:
    with telemetry.hop(method="GET", target="http://gw/v1/x", route="/v1/x") as hop:
        assert [value for _, value in gateway.points("http.server.active_requests")] == [1]
        with telemetry.attempt("GET", "http://api:8080/v1/x") as attempt:
            attempt.status(503)
        hop.status(503)
    labels = {"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": 503, "error.type": "503"}
    ((server, seconds),) = gateway.points("http.server.request.duration")
    assert server == {**labels, "http.route": "/v1/x", "edgepath.outcome": "edge_error"}
    assert 0 < seconds < 5
    ((outbound, _),) = gateway.points("http.client.request.duration")
    assert outbound == {**labels, "server.address": "api", "server.port": 8080}
    assert [value for _, value in gateway.points("http.server.active_requests")] == [0]


def test_the_clients_hop_is_not_counted_beside_its_attempts(client: Recorder) -> None:
    with telemetry.hop(method="GET"), telemetry.attempt("GET", "api"):
        pass
    assert len(client.points("http.client.request.duration")) == 1
    assert client.points("http.server.request.duration") == []


def test_a_step_of_the_wall_clock_does_not_change_a_duration(
    gateway: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durations are trusted, clocks are not (design, section 2)."""
    now = iter([2_000_000_000_000_000_000, 1_000_000_000_000_000_000])
    monkeypatch.setattr("telemetry.sdk.recording.time_ns", lambda: next(now))
    with telemetry.hop(method="GET"):
        pass
    assert 0 < gateway.spans[0].duration_ns < 5_000_000_000
