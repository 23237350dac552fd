"""``edgepath receive``: OTLP in, Kafka out."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from telemetry.cli.kafka_options import kafka_options
from telemetry.cli.logs import say
from telemetry.cli.settings import Configured, setting
from telemetry.cli.stopping import stopped_by_signals
from telemetry.vocabulary import METRICS_TOPIC, SPANS_TOPIC

if TYPE_CHECKING:
    from telemetry.feeds.kafka import KafkaSettings
    from telemetry.feeds.otlp import Counters, Snapshot

_MIB = 1024 * 1024


@click.command(cls=Configured, runs_on=True)
@kafka_options
@setting("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@setting(
    "--grpc-port", type=click.IntRange(0, 65535), metavar="PORT", default=4317, help="OTLP/gRPC; 0 takes a free port."
)
@setting(
    "--http-port", type=click.IntRange(0, 65535), metavar="PORT", default=4318, help="OTLP/HTTP; 0 takes a free port."
)
@setting("--topic", metavar="NAME", default=SPANS_TOPIC, help="Topic for spans.")
@setting("--metrics-topic", metavar="NAME", default=METRICS_TOPIC, help="Topic for metrics.")
@setting(
    "--partitions",
    type=click.IntRange(min=1),
    metavar="N",
    default=8,
    help="Make missing topics with so many partitions; topics that are there stay as they are.",
)
@setting(
    "--max-body",
    type=click.IntRange(min=1),
    default=16,
    metavar="MIB",
    help="Largest request; up to four times as much after decompression (HTTP).",
)
def receive(
    kafka: "KafkaSettings",
    host: str,
    grpc_port: int,
    http_port: int,
    topic: str,
    metrics_topic: str,
    partitions: int,
    max_body: int,
) -> None:
    """Take OTLP traces and metrics over gRPC and HTTP, and write them to Kafka.

    All spans of a trace go to one partition (murmur2 of the hex trace id). A client gets its answer when every in-sync
    replica has its data; while Kafka is away clients are told to come again, and lose nothing.

    An OpenTelemetry Collector may write the same topic, with its Kafka exporter's partition_traces_by_id: true and
    record_partitioner.sticky_key.hasher: murmur2.

    \b
    Example:
      edgepath receive --kafka kafka-1:9092,kafka-2:9092 --host 0.0.0.0
    """
    with stopped_by_signals() as stopping:
        with _receiving(kafka, host, grpc_port, http_port, topic, metrics_topic, partitions, max_body) as started:
            counters, where = started
            say(where)  # only now: who reads it may stop us at once
            stopping.wait()
            say("stopping: requests in work are finished")
        counts = counters.snapshot()
        say(_summary(counts), requests=counts.requests, spans=counts.spans, data_points=counts.data_points)


@contextmanager
def _receiving(
    kafka: "KafkaSettings",
    host: str,
    grpc_port: int,
    http_port: int,
    topic: str,
    metrics_topic: str,
    partitions: int,
    max_body: int,
) -> Iterator[tuple["Counters", str]]:
    """Everything that receives, and where it does, in a line."""
    from telemetry.feeds.kafka import KafkaSink, Kind, ensure_topic  # noqa: PLC0415 - other commands start without Kafka
    from telemetry.feeds.otlp import Counters, GrpcReceiver, HttpReceiver, Limits  # noqa: PLC0415

    limits = Limits(body_bytes=max_body * _MIB, decompressed_bytes=4 * max_body * _MIB)
    counters = Counters()
    with ExitStack() as stack:
        sinks = [KafkaSink(kafka, topic), KafkaSink(kafka, metrics_topic, Kind.METRICS)]
        for name, sink in zip((topic, metrics_topic), sinks, strict=True):
            if ensure_topic(kafka, name, partitions):
                say(f"made topic {name} with {partitions} partitions", topic=name, partitions=partitions)
            sink.open()
            stack.callback(sink.close)
        spans, metrics = sinks
        over_grpc = GrpcReceiver(spans, host, grpc_port, limits, counters, metrics=metrics)
        over_http = HttpReceiver(spans, host, http_port, limits, counters, metrics=metrics)
        for receiver in (over_grpc, over_http):
            receiver.start()
            stack.callback(receiver.stop)
        yield (
            counters,
            f"receiving OTLP: gRPC {host}:{over_grpc.port}, HTTP http://{host}:{over_http.port}/v1/traces; "
            f"to Kafka {kafka.bootstrap}, topics {topic} and {metrics_topic}; Ctrl-C stops",
        )


def _summary(counts: "Snapshot") -> str:
    text = (
        f"took {counts.requests:,} requests: {counts.spans:,} spans, {counts.data_points:,} data points, "
        f"{counts.bytes / _MIB:,.1f} MiB"
    )
    if counts.rejected:
        text += "; turned away: " + ", ".join(
            f"{count:,} {reason}" for reason, count in sorted(counts.rejected.items())
        )
    return text
