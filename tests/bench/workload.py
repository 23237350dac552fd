"""The input of the benchmarks: OTLP messages of made-up traces through five tiers, the same for the same seed.

A trace has 9 spans: the client's own, and inbound and outbound of edge, balancer and gateway, the client's attempt, and the
API's inbound. A span has 8 attributes or so. Message shapes:

- ``batch``: 500 spans of many traces, spans of one component sharing a resource, as a Collector's batch processor makes them;
- ``keyed``: 1 to 5 spans of one trace, as the Collector's Kafka exporter makes them with ``partition_traces_by_id``.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from telemetry import vocabulary as names
from telemetry.vocabulary import SpanKind, Tier
from tests.support.otlp import number, text

SEED: Final = 20
SPANS_A_TRACE: Final = 9
BATCH: Final = 500
BETWEEN: Final = 64
"""So many other traces come, at most, between two messages of one trace."""
SPACING_NS: Final = 100_000  # 10,000 requests a second
_MS: Final = 1_000_000
_TIERS: Final = tuple(Tier)
_ROUTES: Final = ("/v1/charges", "/v1/refunds", "/v1/customers/{id}", "/v1/payment_intents/{id}/confirm", "/v1/balance")
_STATUSES: Final = (*(200,) * 90, *(201,) * 4, 400, 402, 404, 429, 500, 503)
_AGENT: Final = "payments-python/9.2.0 (linux; cpython 3.12)"

Place = tuple[str, str, str]
"""Component, tier and PoP: what a resource says."""
Spanned = tuple[Place, Span]
"""A span and where it was made."""


@dataclass(frozen=True)
class Shape:
    """How much input, and how it is cut into messages.

    Attributes:
        name: ``batch`` or ``keyed``.
        made: how many traces are made.
        copies: how often all of them are sent, each time under other trace ids: making one takes longer than reading it.
        partitions: how many partitions they are spread over, each trace in one.
    """

    name: str
    made: int
    copies: int
    partitions: int

    @property
    def spans(self) -> int:
        """How many spans."""
        return self.made * self.copies * SPANS_A_TRACE


BATCHES: Final = Shape("batch", made=2_000, copies=15, partitions=1)
KEYED: Final = Shape("keyed", made=2_000, copies=6, partitions=4)
SHAPES: Final = (BATCHES, KEYED)


def messages(shape: Shape, start_ns: int, seed: int = SEED) -> Iterator[tuple[int, bytes]]:
    """Pairs of partition and message. Requests begin at ``start_ns``, 10,000 a second; copies at the same times again."""
    rnd = random.Random(seed)
    traces = [trace(rnd, start_ns + nth * SPACING_NS) for nth in range(shape.made)]
    partitions = 1 if shape.name == "batch" else shape.partitions  # a message of many traces has neighbours' spans
    partition_of = {spans[0][1].trace_id: nth % partitions for nth, spans in enumerate(traces)}
    made = [
        (partition_of[spans[0][1].trace_id], message(spans), {span.trace_id for _, span in spans})
        for spans in cut(shape.name, rnd, traces)
    ]
    for _ in range(shape.copies):
        key = rnd.getrandbits(128)
        for partition, content, ids in made:
            yield partition, _renamed(content, ids, key)


def cut(name: str, rnd: random.Random, traces: Iterable[list[Spanned]]) -> list[list[Spanned]]:
    """The spans of each message, for messages of the shape ``name``."""
    if name == "batch":
        spans = [span for spans in traces for span in spans]
        return [spans[at : at + BATCH] for at in range(0, len(spans), BATCH)]
    parts: list[tuple[float, list[Spanned]]] = []
    for nth, spans in enumerate(traces):
        at, when = 0, float(nth)
        while at < len(spans):
            size = rnd.randint(1, 5)
            parts.append((when, spans[at : at + size]))
            at, when = at + size, when + rnd.uniform(1, BETWEEN)
    return [spans for _, spans in sorted(parts, key=lambda part: part[0])]


def _renamed(content: bytes, ids: Iterable[bytes], key: int) -> bytes:
    """The message with other trace ids; a cut copy of a trace must get the same one in all its messages."""
    for one in ids:
        content = content.replace(one, (int.from_bytes(one) ^ key).to_bytes(16))
    return content


def message(spans: Sequence[Spanned]) -> bytes:
    """One message; spans of one component share a resource."""
    return TracesData(
        resource_spans=[
            ResourceSpans(resource=Resource(attributes=_resource(place)), scope_spans=[ScopeSpans(spans=group)])
            for place, group in _by_place(spans).items()
        ]
    ).SerializeToString()


def in_message(spans: Sequence[Spanned]) -> list[Spanned]:
    """The spans in the order in which they stand in their message."""
    return [(place, span) for place, group in _by_place(spans).items() for span in group]


def _by_place(spans: Sequence[Spanned]) -> dict[Place, list[Span]]:
    groups: dict[Place, list[Span]] = {}
    for place, span in spans:
        groups.setdefault(place, []).append(span)
    return groups


def trace(rnd: random.Random, start_ns: int) -> list[Spanned]:
    """The spans of one request, each with where it was made."""
    trace_id, route, status = rnd.randbytes(16), rnd.choice(_ROUTES), rnd.choice(_STATUSES)
    pop, api = rnd.choice(("fra", "iad")), f"{route.split('/')[2]}-api"
    target = route.replace("{id}", f"{rnd.choice(('cus', 'pi'))}_{rnd.getrandbits(48):012x}")
    method = "GET" if route in _ROUTES[2::2] else "POST"
    address = f"203.0.113.{rnd.randint(1, 250)}"
    parent, begin, duration, made = b"", start_ns, rnd.randint(20, 400) * _MS, []
    for tier in _TIERS:
        place = (
            {Tier.CLIENT: "shop-frontend", Tier.EDGE: f"envoy-{pop}-{trace_id[1] % 4}", Tier.API: api}.get(
                tier, f"{tier}-1"
            ),
            tier.value,
            pop if tier in (Tier.CLIENT, Tier.EDGE) else "core",
        )
        kinds = (SpanKind.SERVER,) if tier is Tier.API else (SpanKind.SERVER, SpanKind.CLIENT)
        for kind in kinds:
            of_client = tier is Tier.CLIENT and kind == SpanKind.SERVER
            span = Span(
                trace_id=trace_id,
                span_id=rnd.randbytes(8),
                parent_span_id=parent,
                name=f"{method} {route}",
                kind=Span.SpanKind.ValueType(SpanKind.INTERNAL if of_client else kind),
                start_time_unix_nano=begin,
                end_time_unix_nano=begin + duration,
                attributes=_attributes(tier, kind, method, route, target, status, address, place[0]),
            )
            made.append((place, span))
            parent, begin, duration = span.span_id, begin + rnd.randint(10, 900) * 1000, duration - 2 * _MS
    return made


def _resource(place: Place) -> list[KeyValue]:
    component, tier, pop = place
    return [
        text(names.SERVICE_NAME, component),
        text(names.TIER, tier),
        text(names.POP, pop),
        text(names.REGION[0], "eu-central-1" if pop == "fra" else "us-east-1"),
        text(names.ENVIRONMENT[0], "production"),
        text(names.SERVICE_VERSION, "2026.3.1"),
    ]


def _attributes(
    tier: Tier, kind: SpanKind, method: str, route: str, target: str, status: int, address: str, component: str
) -> list[KeyValue]:
    """As proxies (older names, numbers as text) and services with the SDK (current names) send them."""
    if tier in (Tier.EDGE, Tier.BALANCER):
        return [
            text(names.METHOD[1], method),
            text(names.URL_FULL[1], f"https://api.example.com{target}"),
            text(names.STATUS[1], str(status)),
            text(names.RESPONSE_FLAGS[0], "-"),
            text("upstream_cluster", f"{tier}-upstream"),
            text("node_id", component),
            text("guid:x-request-id", f"{status:08x}-0000-4000-8000-000000000000"),
            text("peer.address", address),
        ]
    own = [
        text(names.METHOD[0], method),
        number(names.STATUS[0], status),
        text(names.URL_SCHEME, "https"),
        text(names.SERVER_ADDRESS, "api.example.com"),
        number(names.SERVER_PORT, 443),
        text(names.PROTOCOL_VERSION, "1.1"),
    ]
    if kind == SpanKind.SERVER and tier is not Tier.CLIENT:
        own += [text(names.ROUTE[0], route), text(names.URL_PATH[0], target), text(names.CLIENT_ADDRESS[0], address)]
    else:
        own += [text(names.URL_FULL[0], f"https://api.example.com{target}"), text(names.USER_AGENT, _AGENT)]
    if status >= 500:
        own.append(text(names.ERROR_TYPE[0], str(status)))
    return own


def write(path: Path, pairs: Iterable[tuple[int, bytes]]) -> None:
    """Keep messages in a file: for each partition (1 byte), length (4 bytes), message."""
    with path.open("wb") as file:
        for partition, value in pairs:
            file.write(bytes([partition]) + len(value).to_bytes(4))
            file.write(value)


def read(path: Path) -> Iterator[tuple[int, bytes]]:
    """What :func:`write` kept, one after the other: the whole is never in memory."""
    with path.open("rb", buffering=1 << 20) as file:
        while head := file.read(5):
            yield head[0], file.read(int.from_bytes(head[1:]))
