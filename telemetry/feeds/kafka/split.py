"""Cutting one OTLP request into Kafka messages: by partition, and to a size. Resources and scopes go along."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Kind(Enum):
    """What is cut: the request's class and the names of its three levels."""

    SPANS = (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans")
    METRICS = (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics")

    def __init__(self, request: Any, resources: str, scopes: str, items: str) -> None:
        self.request = request
        self.resources = resources
        self.scopes = scopes
        self.items = items


@dataclass(frozen=True)
class Group:
    """Items (spans or metrics) of one scope of one resource, as the protobuf messages they came in."""

    resource: Any
    scope: Any
    items: Sequence[Any]


@dataclass(frozen=True)
class Message:
    """One Kafka message to be.

    Attributes:
        value: a serialized request.
        groups: what is in it.
    """

    value: bytes
    groups: Sequence[Group]


def groups_of(request: Any, kind: Kind) -> Iterator[Group]:
    """Every scope of a request that has items."""
    for resource in getattr(request, kind.resources):
        for scope in getattr(resource, kind.scopes):
            items = getattr(scope, kind.items)
            if items:
                yield Group(resource, scope, items)


def by_partition(groups: Iterator[Group], partition_of: Callable[[Any], int]) -> dict[int, list[Group]]:
    """The groups, cut so that each partition has those of its items."""
    parts: dict[int, list[Group]] = {}
    for group in groups:
        cut: dict[int, list[Any]] = {}
        for item in group.items:
            cut.setdefault(partition_of(item), []).append(item)
        for partition, items in cut.items():
            parts.setdefault(partition, []).append(Group(group.resource, group.scope, items))
    return parts


def messages(groups: Sequence[Group], kind: Kind, limit: int) -> tuple[list[Message], int]:
    """The groups as as few messages as halving gives, none over ``limit`` bytes.

    Returns:
        The messages, and how many items are too large for a message alone (they are in none).
    """
    value = build(groups, kind).SerializeToString()
    if len(value) <= limit:
        return [Message(value, groups)], 0
    first, second = _halves(groups)
    if not second:
        return [], 1
    left, left_over = messages(first, kind, limit)
    right, right_over = messages(second, kind, limit)
    return left + right, left_over + right_over


def build(groups: Sequence[Group], kind: Kind) -> Any:
    """One request with the items of ``groups``; neighbours of one resource share it."""
    request = kind.request()
    resource = None
    came_from: Any = None
    for group in groups:
        if resource is None or group.resource is not came_from:
            came_from = group.resource
            resource = getattr(request, kind.resources).add(schema_url=came_from.schema_url)
            if came_from.HasField("resource"):
                resource.resource.CopyFrom(came_from.resource)
        scope = getattr(resource, kind.scopes).add(schema_url=group.scope.schema_url)
        if group.scope.HasField("scope"):
            scope.scope.CopyFrom(group.scope.scope)
        getattr(scope, kind.items).extend(group.items)
    return request


def _halves(groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Two parts of about as many items; the second is empty when there is but one item."""
    middle = sum(len(group.items) for group in groups) // 2
    if middle == 0:
        return list(groups), []
    first: list[Group] = []
    second: list[Group] = []
    seen = 0
    for group in groups:
        here = min(max(middle - seen, 0), len(group.items))
        seen += len(group.items)
        if here:
            first.append(Group(group.resource, group.scope, list(group.items)[:here]))
        if here < len(group.items):
            second.append(Group(group.resource, group.scope, list(group.items)[here:]))
    return first, second
