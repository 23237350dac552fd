"""W3C trace context and baggage, in and out; whatever comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace

import telemetry
from telemetry.sdk.testing import recording

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INBOUND = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "ot=th:8,vendor=x", "baggage": "tenant=acme,k=v"}


@pytest.mark.parametrize(
    "headers",
    [
        INBOUND,
        {name.title(): value for name, value in INBOUND.items()},
        [(name.encode(), value.encode()) for name, value in INBOUND.items()],
    ],
    ids=["map", "title case", "ASGI pairs"],
)
def test_extract(headers: "dict[str, str] | list[tuple[bytes, bytes]]") -> None:
    context = telemetry.extract(headers)
    span = trace.get_current_span(context).get_span_context()
    assert (f"{span.trace_id:032x}", f"{span.span_id:016x}", span.is_remote) == (TRACE, SPAN, True)
    assert span.trace_state["ot"] == "th:8"
    assert baggage.get_all(context) == {"tenant": "acme", "k": "v"}


def test_what_comes_in_goes_out() -> None:
    """The sampling threshold in tracestate and the baggage survive a hop."""
    with recording(), telemetry.hop(method="GET", headers=INBOUND):
        out = telemetry.inject({"accept": "*/*"})
    assert out["accept"] == "*/*"
    assert out["traceparent"].startswith(f"00-{TRACE}-")
    assert SPAN not in out["traceparent"]
    assert out["tracestate"] == INBOUND["tracestate"]
    assert sorted(out["baggage"].split(",")) == ["k=v", "tenant=acme"]


def test_outside_of_any_hop_nothing_is_injected() -> None:
    assert telemetry.inject() == {}


def test_headers_that_cannot_be_written_do_not_break_the_call() -> None:
    class Frozen(dict[str, str]):
        def __setitem__(self, key: str, value: str) -> None:
            raise TypeError("frozen")

    with recording(), telemetry.attempt("GET", "api") as attempt:
        assert attempt.headers(Frozen()) == {}


hostile = st.text(max_size=200) | st.from_regex(r"00-[0-9a-f]{30,34}-[0-9a-f]{15,17}-.{0,4}", fullmatch=True)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage", "Baggage"]), hostile))
def test_hostile_headers_never_raise(headers: dict[str, str]) -> None:
    context = telemetry.extract(headers)
    telemetry.extract([(name.encode(), value.encode()) for name, value in headers.items()])
    with recording() as recorder, telemetry.hop(method="GET", headers=headers):
        telemetry.inject()
    assert len(recorder.spans) == 1
    assert context is not None
