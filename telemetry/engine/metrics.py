"""OTLP metrics to rows of ``metric_log``: a row a data point. Pure; one message after the other, by opentelemetry-proto.

A point is left out, and counted, if it cannot be one: no value, buckets that do not fit their bounds, bounds that do not grow,
more buckets than anybody draws. A message that cannot be decoded, or holds more points than a message may, is rejected whole.
Times that cannot be true become the arrival, as for paths. NaN and infinity are values.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from telemetry.domain.normalize import text
from telemetry.domain.tiers import Tiers
from telemetry.engine.metric_rows import Header, Points
from telemetry.feeds.base import Record
from telemetry.redaction import redact_attribute, redact_text
from telemetry.vocabulary import ENVIRONMENT, INSTANCE_ID, POP, REGION, SERVICE_NAME, TIER, ZONE

_TEMPORALITY: Final = ("", "delta", "cumulative")
_NAME_LENGTH: Final = 255  # metrics/api.md, "Instrument name syntax"
_WORD_LENGTH: Final = 63  # the same, of units
_NAN: Final = math.nan


@dataclass(frozen=True)
class MetricSettings:
    """What is taken of a metric.

    Attributes:
        tiers: the configured tiers.
        future_ms, past_ms: how far a point's time may be from its arrival; beyond it the arrival time is stored.
        max_points: of one message.
        max_attributes: of one point; those beyond are left out.
        max_length: characters of an attribute's value.
        max_buckets: of one point.
        max_exemplars: of one point; those beyond are left out.
        known: how many different attributes are remembered as clean.
    """

    tiers: Tiers = field(default_factory=Tiers)
    future_ms: int = 300_000
    past_ms: int = 7 * 24 * 3600 * 1000
    max_points: int = 200_000
    max_attributes: int = 64
    max_length: int = 256
    max_buckets: int = 1_024
    max_exemplars: int = 8
    known: int = 50_000


@dataclass(frozen=True)
class DecodedMetrics:
    """What some records hold.

    Attributes:
        rows: an Arrow table, rows of ``metric_log`` without those columns that say which block they are in.
        points: how many.
        invalid: points that cannot be ones.
        rejected: records that cannot be decoded, each with the reason.
    """

    rows: Any
    points: int
    invalid: int
    rejected: list[tuple[Record, str]]


class MetricDecoder:
    """Decodes records; remembers which attributes it has seen, for most come again. Used by one thread."""

    def __init__(self, settings: MetricSettings) -> None:
        """Decode with ``settings``."""
        self._settings = settings
        self._clean: dict[tuple[str, str], tuple[str, str]] = {}
        self._bounds: list[float] = []

    def decode(self, records: Iterable[Record]) -> DecodedMetrics:
        """Decode records of one partition, in order."""
        points = Points()
        rejected: list[tuple[Record, str]] = []
        invalid = 0
        for record in records:
            try:
                request = ExportMetricsServiceRequest.FromString(record.value)
            except DecodeError as error:
                rejected.append((record, f"no OTLP metrics: {error}"[:200]))
                continue
            count = _count(request)
            if count > self._settings.max_points:
                rejected.append((record, f"{count} data points in one message; {self._settings.max_points} may be"))
                continue
            points.begin(record.offset, record.arrival_ms)
            invalid += self._request(request, points)
        s = self._settings
        return DecodedMetrics(points.table(s.past_ms, s.future_ms), len(points), invalid, rejected)

    def _request(self, request: Any, points: Points) -> int:
        invalid = 0
        for group in request.resource_metrics:
            resource = self._resource(group.resource.attributes)
            for scope in group.scope_metrics:
                name = _word(scope.scope.name, _NAME_LENGTH)
                for metric in scope.metrics:
                    invalid += self._metric(metric, resource, name, points)
        return invalid

    def _resource(self, attributes: Sequence[Any]) -> tuple[str, ...]:
        """environment, region, zone, tier, component, pop, instance."""
        found: dict[str, str] = {}
        for pair in attributes:
            found.setdefault(pair.key, pair.value.string_value)

        def first(names: Sequence[str]) -> str:
            return text(redact_text(next((found[name] for name in names if found.get(name)), "")))

        component, zone = first((SERVICE_NAME,)), first(ZONE)
        tier = self._settings.tiers.resolve(first((TIER,)), component)
        return first(ENVIRONMENT), first(REGION), zone, tier, component, first((POP,)) or zone, first((INSTANCE_ID,))

    def _metric(self, metric: Any, resource: tuple[str, ...], scope: str, points: Points) -> int:
        kind = metric.WhichOneof("data")
        if kind is None:
            return 0
        data = getattr(metric, kind)
        temporality = data.aggregation_temporality if kind in ("sum", "histogram", "exponential_histogram") else 0
        header = Header(
            metric=_word(metric.name, _NAME_LENGTH),
            unit=_word(metric.unit, _WORD_LENGTH),
            type=kind,
            temporality=_TEMPORALITY[temporality] if temporality < len(_TEMPORALITY) else "",
            is_monotonic=kind == "sum" and data.is_monotonic,
            resource=resource,
            scope=scope,
        )
        points.head(header)
        add = {"gauge": self._number, "sum": self._number, "summary": self._summary}.get(kind, self._histogram)
        return sum(not add(point, points) for point in data.data_points)

    def _number(self, point: Any, points: Points) -> bool:
        """Of gauges and sums."""
        kind = point.WhichOneof("value")
        if kind is None and not point.flags & 1:
            return False
        self._point(point, points)
        points.value.append(_NAN if kind is None else float(getattr(point, kind)))
        points.plain.append(True)
        if point.exemplars:
            self._exemplars(point, points)
        return True

    def _histogram(self, point: Any, points: Points) -> bool:
        """Of both kinds of histograms."""
        most = self._settings.max_buckets
        explicit = hasattr(point, "explicit_bounds")
        if explicit:
            if max(len(point.explicit_bounds), len(point.bucket_counts)) > most:
                return False
            bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
            fits = len(counts) == len(bounds) + 1 or not (counts or bounds)
            if not fits or not self._grow(bounds):
                return False
            buckets: tuple[Any, ...] = (bounds, counts, 0, 0, 0.0, 0, [], 0, [])
        else:
            if max(len(point.positive.bucket_counts), len(point.negative.bucket_counts)) > most:
                return False
            positive, negative = list(point.positive.bucket_counts), list(point.negative.bucket_counts)
            zero = (point.scale, point.zero_count, point.zero_threshold)
            buckets = ([], [], *zero, point.positive.offset, positive, point.negative.offset, negative)
        self._point(point, points)
        points.value.append(0.0)
        points.plain.append(False)
        optional = (getattr(point, n) if point.HasField(n) else _NAN for n in ("sum", "min", "max"))
        points.histogram(point.count, *optional, *buckets)
        if point.exemplars:
            self._exemplars(point, points)
        return True

    def _grow(self, bounds: list[float]) -> bool:
        """Whether they do; nearly always they are those of the point before."""
        if bounds == self._bounds:
            return True
        if any(not low < high for low, high in pairwise(bounds)):
            return False
        self._bounds = bounds
        return True

    def _summary(self, point: Any, points: Points) -> bool:
        if len(point.quantile_values) > self._settings.max_buckets:
            return False
        self._point(point, points)
        points.value.append(0.0)
        points.plain.append(False)
        levels = [(q.quantile, q.value) for q in point.quantile_values]
        points.summary(point.count, point.sum, [level for level, _ in levels], [value for _, value in levels])
        return True

    def _point(self, point: Any, points: Points) -> None:
        """What all kinds have."""
        points.time.append(point.time_unix_nano)
        points.start.append(point.start_time_unix_nano)
        points.flags.append(point.flags)
        keys, items, clean = points.keys, points.items, self._clean
        for pair in point.attributes[: self._settings.max_attributes]:
            value = pair.value
            said = value.string_value or _said(value)
            known = clean.get((pair.key, said))
            if known is None:
                known = self._learn(pair.key, said)
            keys.append(known[0])
            items.append(known[1])
        points.end_point()

    def _learn(self, key: str, value: str) -> tuple[str, str]:
        """An attribute as it may be kept."""
        longest = self._settings.max_length
        kept = str(redact_attribute(key[:_NAME_LENGTH], value[: 4 * longest]))
        clean = (_word(key, _NAME_LENGTH), "".join(c for c in kept if c.isprintable())[:longest])
        if len(self._clean) >= self._settings.known:
            self._clean.clear()
        if len(key) + len(value) <= 4 * longest:
            self._clean[key, value] = clean
        return clean

    def _exemplars(self, point: Any, points: Points) -> None:
        for one in point.exemplars[: self._settings.max_exemplars]:
            kind = one.WhichOneof("value")
            if kind is not None and len(one.trace_id) == 16 and len(one.span_id) == 8:
                points.exemplar(
                    one.time_unix_nano, float(getattr(one, kind)), one.trace_id, int.from_bytes(one.span_id)
                )


def _count(request: Any) -> int:
    return sum(
        len(getattr(metric, kind).data_points)
        for group in request.resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data")) is not None
    )


def _said(value: Any) -> str:
    """An attribute's value as text, whatever its type; lists and maps are left out."""
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind in ("int_value", "double_value"):
        return str(getattr(value, kind))
    return ""


def _word(value: str, length: int) -> str:
    return text(redact_text(value[: 4 * length]), length)
