"""Metrics of a world: a gauge beside each trace, and what is stored of them against what lies in Kafka."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from kafka import KafkaConsumer, TopicPartition
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from telemetry.feeds.otlp.redaction import scrub_metrics
from telemetry.store.base import Store
from telemetry.store.tables import METRIC_LOG, METRIC_POINTS
from tests.support.metric_messages import point, request

PARTITIONS: Final = 2


@dataclass(frozen=True)
class Message:
    """A message that lies in Kafka."""

    partition: int
    offset: int
    value: bytes


def gauge(number: int, now_ns: int) -> bytes:
    """A message with one point whose value is ``number``."""
    message, metrics = request()
    point(metrics, "faults", "gauge", as_int=number, time=now_ns)
    return bytes(message.SerializeToString())


def everything_in(bootstrap: str, topic: str) -> list[Message]:
    """All messages of a topic; none if there is no such topic."""
    consumer: Any = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=5000)
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not places:
            return []
        there = sum(consumer.end_offsets(places).values())
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        return [Message(m.partition, m.offset, m.value) for m in itertools.islice(consumer, there)]
    finally:
        consumer.close()


def differences(store: Store, sent: Sequence[Message], dead: Sequence[bytes]) -> Iterator[str]:
    """What is wrong with ``metric_points`` and ``metric_log``, a line each.

    A message that lies in Kafka twice, since its producer had no answer, is two: each record's points are stored once.
    """
    put_aside = set(dead)
    wanted: set[tuple[int, int, float]] = set()
    for message in sent:
        try:
            made = ExportMetricsServiceRequest.FromString(message.value)
        except DecodeError:
            if scrub_metrics(message.value) not in put_aside:
                yield f"metrics: poison {message.value[:20].hex()}... was not put aside"
            continue
        for group in made.resource_metrics:
            for metric in group.scope_metrics[0].metrics:
                wanted.add((message.partition, message.offset, float(metric.gauge.data_points[0].as_int)))
    for table, where in ((METRIC_POINTS, "1"), (METRIC_LOG, "kind = 'point'")):
        rows = store.query(f"SELECT partition, last_offset, value FROM {table} WHERE {where}").rows
        found = Counter((int(partition), int(offset), float(value)) for partition, offset, value in rows)
        yield from (f"{table}: {place} is lost" for place in sorted(wanted - found.keys()))
        yield from (f"{table}: {place}, nobody sent it" for place in sorted(found.keys() - wanted))
        yield from (f"{table}: {place} {times} times" for place, times in sorted(found.items()) if times > 1)
    for partition, most, blocks, writers in store.query(
        f"SELECT partition, max(block), uniqExact(block), uniqExact(block, writer) FROM {METRIC_LOG} GROUP BY partition"
    ).rows:
        if not most == blocks == writers:
            yield f"{METRIC_LOG}: partition {partition} has {blocks} blocks by {writers} writers, the last is number {most}"
