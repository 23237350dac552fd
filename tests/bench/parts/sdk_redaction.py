"""What redaction costs: a span in the SDK, and a span in the receiver."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

from telemetry.feeds.otlp.redaction import redact_spans, scrub_all
from telemetry.sdk.redaction import clean
from tests.bench import workload
from tests.bench.measure import Series, cpu
from tests.bench.parts.sdk import object_id

_SPANS = 5_000
_TURNS = 3
_MESSAGES = 20


def _span(nth: int, note: str = "") -> ReadableSpan:
    """As the middleware makes it: ten attributes, one of them like no other."""
    return ReadableSpan(
        "POST /v1/charges/{id}",
        attributes={
            "http.request.method": "POST",
            "url.scheme": "https",
            "url.path": f"/v1/charges/ch_{object_id(nth)}{note}",
            "network.protocol.version": "1.1",
            "client.address": f"203.0.113.{nth % 200}",
            "user_agent.original": "payments-python/9.2.0",
            "server.address": "api.example.com",
            "server.port": 8443,
            "http.route": "/v1/charges/{id}",
            "http.response.status_code": 201,
        },
    )


def run(folder: Path) -> dict[str, Series]:  # noqa: ARG001 - it makes its own
    """Microseconds a span; the least of a few turns."""
    found: dict[str, float] = {}
    for turn in range(_TURNS):
        first = turn * _SPANS
        usual = [_span(first + nth) for nth in range(_SPANS)]
        carded = [_span(first + nth, "/4242%204242%204242%204242") for nth in range(_SPANS)]
        _least(found, "sdk.redaction.us_per_span", partial(_each, clean, usual))
        _least(found, "sdk.redaction.with_card.us_per_span", partial(_each, clean, carded))
    messages = [each for _, each in islice(workload.messages(workload.BATCHES, time.time_ns()), _MESSAGES)]
    # Request ids that are made of digits only, as no real ones are.
    messages = [each.replace(b"-0000-4000-8000-000000000000", b"-0c0d-4abc-8def-00cb00ab00d0") for each in messages]
    decoded = [ExportTraceServiceRequest.FromString(each) for each in messages]
    size = _MESSAGES * workload.BATCH
    for _ in range(_TURNS):
        _least(found, "receiver.redaction.us_per_span", lambda: scrub_all(messages), size)
        _least(found, "receiver.redaction.full_look.us_per_span", lambda: _each(redact_spans, decoded), size)
    return {name: Series("CPU us", (value,)) for name, value in found.items()}


def _each(do: Callable[..., object], items: Iterable[object]) -> None:
    for item in items:
        do(item)


def _least(found: dict[str, float], name: str, do: Callable[[], object], size: int = _SPANS) -> None:
    with cpu() as used:
        do()
    found[name] = min(found.get(name, 9e9), used.seconds / size * 1e6)
