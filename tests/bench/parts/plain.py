"""The baseline: consumers as one writes them in plain Python, with opentelemetry-proto and clickhouse-driver.

- ``rows``: parse, loop over spans and attributes, and let clickhouse-driver write the rows in the native format (to
  nowhere). It assembles nothing. ``plain_consumer`` is the same between a real Kafka and a real ClickHouse.
- ``paths``: parse, loop, and assemble request paths with the reference implementation. It stores nothing.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clickhouse_driver import Client
from clickhouse_driver.block import RowOrientedBlock
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.streams.native import BlockOutputStream
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from telemetry import vocabulary as names
from telemetry.domain import paths
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from tests.bench import workload
from tests.bench.measure import Series, cpu, per_cpu_second

Attributes = dict[str, str | int]
_SPANS = {"batch": 40_000, "keyed": 20_000}
ROWS_AN_INSERT = 10_000
COLUMNS = (
    *(("trace_id", "FixedString(16)"), ("span_id", "UInt64"), ("parent_id", "UInt64"), ("kind", "UInt8")),
    *(("start", "UInt64"), ("duration_ns", "UInt64"), ("component", "String"), ("tier", "String"), ("pop", "String")),
    *(("region", "String"), ("environment", "String"), ("status", "UInt16"), ("flags", "String"), ("error", "String")),
    *(("route", "String"), ("path", "String"), ("method", "String"), ("client", "String")),
)


def run(folder: Path) -> dict[str, Series]:
    """Figures of both shapes."""
    found = {}
    for shape in workload.SHAPES:
        values = list(_first(folder, shape))
        rows(values[:10])
        with cpu() as used:
            count = rows(values)
        found[f"plain.{shape.name}.rows.spans_per_cpu_second"] = per_cpu_second(count, used)
        with cpu() as used:
            count = assembled(values)
        found[f"plain.{shape.name}.paths.spans_per_cpu_second"] = per_cpu_second(count, used)
        with cpu() as used:
            count = sum(_parsed_only(value) for value in values)
        found[f"plain.{shape.name}.parse_only.spans_per_cpu_second"] = per_cpu_second(count, used)
    return found


def rows(values: list[bytes]) -> int:
    """Spans of ``values`` as rows in ClickHouse's native format; returns how many."""
    sink = _Nowhere()
    count = 0
    spans = (row for value in values for row in rows_of(value))
    while block := list(itertools.islice(spans, ROWS_AN_INSERT)):
        count += len(block)
        sink.insert(block)
    return count


def assembled(values: list[bytes]) -> int:
    """Request paths of ``values`` by the reference; returns how many spans they have."""
    tiers, traces, count = Tiers(), dict[bytes, list[Span]](), 0
    for value in values:
        for span in _spans(value):
            traces.setdefault(span.trace_id, []).append(span)
    for spans in traces.values():
        count += paths.assemble(spans, tiers).spans
    return count


def _first(folder: Path, shape: workload.Shape) -> Iterator[bytes]:
    left = _SPANS[shape.name] / shape.spans
    every = sum(1 for _ in workload.read(folder / shape.name))
    for _, value in itertools.islice(workload.read(folder / shape.name), int(every * left)):
        yield value


def _parsed_only(value: bytes) -> int:
    data = TracesData.FromString(value)
    return sum(len(scope.spans) for group in data.resource_spans for scope in group.scope_spans)


def _attributes(pairs: Any) -> Attributes:
    found: Attributes = {}
    for pair in pairs:
        value = pair.value
        found[pair.key] = value.string_value or value.int_value
    return found


def _pick(attributes: Attributes, wanted: tuple[str, ...]) -> str:
    for name in wanted:
        value = attributes.get(name)
        if value:
            return str(value)
    return ""


def rows_of(value: bytes) -> Iterator[tuple[Any, ...]]:
    """One row a span of a message: the :data:`COLUMNS`."""
    for group in TracesData.FromString(value).resource_spans:
        resource = _attributes(group.resource.attributes)
        of_resource = (
            _pick(resource, (names.SERVICE_NAME,)),
            _pick(resource, (names.TIER,)),
            _pick(resource, (names.POP,)),
            _pick(resource, names.REGION),
            _pick(resource, names.ENVIRONMENT),
        )
        for scope in group.scope_spans:
            for span in scope.spans:
                own = _attributes(span.attributes)
                start = span.start_time_unix_nano
                yield (
                    span.trace_id,
                    int.from_bytes(span.span_id),
                    int.from_bytes(span.parent_span_id),
                    span.kind,
                    start,
                    span.end_time_unix_nano - start,
                    *of_resource,
                    int(_pick(own, names.STATUS) or 0),
                    _pick(own, names.RESPONSE_FLAGS),
                    _pick(own, names.ERROR_TYPE),
                    _pick(own, names.ROUTE),
                    _pick(own, (*names.URL_PATH, *names.URL_FULL)),
                    _pick(own, names.METHOD),
                    _pick(own, names.CLIENT_ADDRESS),
                )


def _spans(value: bytes) -> Iterator[Span]:
    for row in rows_of(value):
        trace_id, span_id, parent_id, kind, start, duration, component, tier, pop, region, environment = row[:11]
        status, flags, error, route, path, method, _ = row[11:]
        yield Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=parent_id,
            kind=kind,
            start_ns=start,
            duration_ns=duration,
            component=component,
            tier=tier,
            pop=pop,
            region=region,
            environment=environment,
            status=status,
            flags="" if flags == "-" else flags,
            error=error,
            route=route,
            path=path,
            method=method,
        )


class _Nowhere:
    """clickhouse-driver's own block writer on a socket that swallows everything."""

    def __init__(self) -> None:
        context = Client("nowhere").connection.context  # connects to nothing before it is asked to
        context.server_info = _Server()
        self._out = BlockOutputStream(BufferedSocketWriter(self, 1 << 20), context)

    def sendall(self, content: bytes) -> None:
        """Take it."""

    def insert(self, block: list[tuple[Any, ...]]) -> None:
        """As ``Client.execute("INSERT ...", rows)`` does once the server has told the columns."""
        self._out.write(RowOrientedBlock(COLUMNS, block))


class _Server:
    """What the writer asks of a server: the revision of the protocol."""

    used_revision = 54_454
