"""Kafka: the producer behind ``edgepath receive``, and the feed of ``edgepath consume``."""

from telemetry.feeds.kafka.producer import KafkaSink
from telemetry.feeds.kafka.settings import KafkaSettings, Mechanism, Security
from telemetry.feeds.kafka.source import KafkaFeed
from telemetry.feeds.kafka.split import Kind
from telemetry.feeds.kafka.topics import ensure_topic

__all__ = ["KafkaFeed", "KafkaSettings", "KafkaSink", "Kind", "Mechanism", "Security", "ensure_topic"]
