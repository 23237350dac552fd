"""What the check of metrics finds: every kind of damage, and only damage."""

import time

import pytest

from telemetry.pipeline.metrics import MetricPipeline
from telemetry.pipeline.settings import MetricPipelineSettings
from telemetry.store.embedded import EmbeddedStore
from tests.faults.points import Message, differences, gauge
from tests.support.fake_feed import FakeFeed, Topic

POISON = b"\x0a\xff poison"


@pytest.fixture
def sent(embedded_store: EmbeddedStore) -> list[Message]:
    """What lies in Kafka: a message there twice, and poison; a pipeline has stored it."""
    topic = Topic()
    now = time.time_ns()
    for value in (gauge(1, now), gauge(2, now), gauge(2, now), POISON, gauge(3, now)):
        topic.put(value, at=now // 1_000_000)
    pipeline = MetricPipeline(
        FakeFeed(topic), embedded_store, MetricPipelineSettings(senders=0, poll_seconds=0, flush_seconds=0), topic="m"
    )
    assert pipeline.drain(30)
    pipeline.close()
    return [Message(0, record.offset, record.value) for record in topic.records[0]]


def test_what_is_right_is_right(embedded_store: EmbeddedStore, sent: list[Message]) -> None:
    """A message that lies in Kafka twice is two."""
    assert list(differences(embedded_store, sent, [POISON])) == []


def test_damage_is_found(embedded_store: EmbeddedStore, sent: list[Message]) -> None:
    """Poison that nobody put aside, points that are lost, doubled or out of nothing, a block too many."""
    assert list(differences(embedded_store, sent, [])) == ["metrics: poison 0aff20706f69736f6e... was not put aside"]
    for statement in (
        "INSERT INTO metric_points SELECT * FROM metric_points WHERE value = 1",
        "DELETE FROM metric_points WHERE value = 3",
        "INSERT INTO metric_points (time, partition, last_offset, value) VALUES (now(), 1, 7, 9)",
        "INSERT INTO metric_log (kind, partition, block, writer, last_offset) VALUES ('fence', 0, 9, 'w', 0)",
    ):
        embedded_store.execute(statement)
    assert list(differences(embedded_store, sent, [POISON])) == [
        "metric_points: (0, 8, 3.0) is lost",
        "metric_points: (1, 7, 9.0), nobody sent it",
        "metric_points: (0, 0, 1.0) 2 times",
        "metric_log: partition 0 has 3 blocks by 3 writers, the last is number 9",
    ]
