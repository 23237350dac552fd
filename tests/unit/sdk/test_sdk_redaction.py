"""Nothing that leaves the process holds a card number or a secret: spans, metrics, resources, baggage, logs."""

import logging
import re

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import telemetry
from telemetry.sdk import redaction
from telemetry.sdk.testing import recording
from tests.redaction.check import stands
from tests.redaction.corpus import DISGUISES, NUMBERS
from tests.redaction.places import Service
from tests.unit.sdk.sdk_support import collector, run

CARD = "4111111111111111"


@pytest.mark.parametrize("name", DISGUISES)
def test_no_disguise_passes(name: str) -> None:
    """Anywhere that the SDK sends text from."""
    for number in NUMBERS[::40]:
        hidden = DISGUISES[name](number)
        for place, send in Service().places().items():
            assert not stands(number, hidden, send(hidden)), place


class Counting(SpanProcessor):
    """Counts what it gets."""

    def __init__(self) -> None:
        self.seen = 0

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - it only counts
        """Count it."""
        self.seen += 1


def test_a_span_that_cannot_be_looked_through_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted as lost, and the service does not notice."""
    monkeypatch.setattr(redaction, "redact_attributes", lambda _: 1 / 0)
    after, lost = Counting(), []
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(redaction.Redacting(after, lambda: lost.append(1)))
    with tracers.get_tracer("t").start_as_current_span("x", attributes={"a": "b"}):
        pass
    assert (after.seen, len(lost)) == (0, 1)


def test_what_was_dropped_before_is_still_said() -> None:
    """Limits of attributes and events keep their counts through redaction."""
    service = Service()
    with service.span() as span:
        span.set_attribute("note", CARD)
        for _ in range(200):
            span.add_event("e", {"note": CARD})
    sent = service._last.span
    assert sent is not None
    assert len(sent.events) == 128
    assert sent.dropped_events == 72
    assert sent.events[0].attributes == {"note": "[card]"}


def test_other_processors_of_the_provider_see_clean_spans() -> None:
    """A service that adds an exporter of its own to our provider gets no card numbers into it either."""
    code = f"""
        import telemetry
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
        handle = telemetry.configure("gateway", "gateway", "fra")
        handle.tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        with telemetry.hop("x", attributes={{"note": "{CARD}"}}):
            pass
    """
    out = run(code, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="none")
    assert '"note": "[card]"' in out
    assert CARD not in out


def test_a_service_full_of_it_sends_none_of_it() -> None:
    """From configure() to the bytes on the wire: resource, span, metric, baggage of an outgoing call, log."""
    code = f"""
        import logging
        logging.basicConfig(level=logging.DEBUG)
        import telemetry
        from opentelemetry import baggage, context, metrics, propagate
        handle = telemetry.configure("gateway", "gateway", "fra", attributes={{"note": "{CARD}", "api_key": "hunter2"}})
        context.attach(baggage.set_baggage("note", "{CARD} 1"))
        headers = {{}}
        propagate.inject(headers)  # as official instrumentations do
        assert "{CARD}" not in str(headers) and "baggage" in headers, headers
        inbound = {{"baggage": "x={CARD},bad {CARD}", "tracestate": "v={CARD}"}}
        inbound["traceparent"] = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
        url = "http://api/v1/cards/4111%201111%201111%201111"
        with telemetry.hop(method="GET", target="/v1/cards/{CARD}", route="/v1/{CARD}", headers=inbound) as hop:
            with telemetry.attempt("GET", url) as attempt:
                attempt.headers({{}})
            hop.set("password", "hunter2")
            hop.error("card {CARD} declined")
        metrics.get_meter("x").create_counter("c").add(1, {{"note": "{CARD}"}})
    """
    with collector() as here:
        out = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
    assert len(here.spans()) == 2
    assert "c" in here.metric_names()
    sent = b"".join(body for _, body, _ in here.bodies)
    assert b"[card]" in sent
    for text in (sent.decode("latin-1"), out):
        assert CARD not in re.sub(r"%20|\W", "", text)
        assert "hunter2" not in text


def test_the_recorder_shows_what_would_be_sent() -> None:
    """A service's own tests can rely on it."""
    with recording() as recorder, telemetry.hop("x", attributes={"note": CARD}):
        pass
    assert recorder.hops[0].attributes["note"] == "[card]"


def test_sampling_in_tracestate_is_left_alone() -> None:
    """A threshold or random value may look like a number."""
    service = Service()
    state = trace.TraceState([("ot", "rv:37828224631000;th:0"), ("v", "378282246310005")])
    parent = trace.NonRecordingSpan(trace.SpanContext(1, 2, True, trace.TraceFlags(1), state))
    with service.span(context=trace.set_span_in_context(parent)):
        pass
    sent = service._last.span
    assert sent is not None
    assert sent.context is not None
    assert list(sent.context.trace_state.items()) == [("ot", "rv:37828224631000;th:0")]


def test_clean_baggage_is_handed_on_unchanged() -> None:
    """Every member, as it came."""
    context = baggage.set_baggage("user", "ä b", baggage.set_baggage("n", "1"))
    assert telemetry.inject({}, context)["baggage"] in (
        "n=1,user=%C3%A4+b",
        "user=%C3%A4+b,n=1",
        "user=%C3%A4%20b,n=1",
        "n=1,user=%C3%A4%20b",
    )


def test_opentelemetrys_own_logs_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """They quote the baggage header that they refuse."""
    redaction.quiet_logs()
    redaction.quiet_logs()
    with caplog.at_level(logging.DEBUG):
        telemetry.extract({"baggage": f"no pair {CARD}"})
        logging.getLogger("opentelemetry.attributes").warning("refused %s", CARD)
    assert "[card]" in caplog.text
    assert CARD not in caplog.text
