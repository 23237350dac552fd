"""``edgepath receive``: OTLP in, Kafka out."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from telemetry.cli.kafka_options import kafka_options
from telemetry.errors import EdgepathError
from telemetry.vocabulary import METRICS_TOPIC, SPANS_TOPIC

if TYPE_CHECKING:
    from telemetry.feeds.kafka import KafkaSettings
    from telemetry.feeds.otlp import Counters, Snapshot

_MIB = 1024 * 1024


@click.command()
@kafka_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    default=4317,
    show_default=True,
    help="OTLP/gRPC; 0 takes a free port.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=4318,
    show_default=True,
    help="OTLP/HTTP; 0 takes a free port.",
)
@click.option("--topic", default=SPANS_TOPIC, show_default=True, help="Topic for spans.")
@click.option("--metrics-topic", default=METRICS_TOPIC, show_default=True, help="Topic for metrics.")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Make missing topics with so many partitions; topics that are there stay as they are.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
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
    stopping = threading.Event()
    try:
        with _receiving(kafka, host, grpc_port, http_port, topic, metrics_topic, partitions, max_body) as started:
            counters, where = started
            previous = {number: signal.signal(number, _stopper(stopping)) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                click.echo(where)  # only now: who reads it may stop us at once
                stopping.wait()
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
            click.echo("stopping: requests in work are finished")
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_summary(counters.snapshot()))


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
                click.echo(f"made topic {name} with {partitions} partitions")
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


def _stopper(stopping: threading.Event) -> "signal._HANDLER":
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        stopping.set()

    return stop


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
