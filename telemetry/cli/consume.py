"""``edgepath consume``: Kafka to ClickHouse."""

import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from telemetry.cli.kafka_options import kafka_options
from telemetry.vocabulary import DEFAULT_TIERS, METRICS_TOPIC, SPANS_TOPIC

if TYPE_CHECKING:
    from telemetry.app.consume import Consumption
    from telemetry.feeds.kafka import KafkaSettings

_EVERY_SECONDS = 10.0


@click.command()
@kafka_options
@click.option(
    "--clickhouse",
    required=True,
    metavar="URL",
    envvar="EDGEPATH_CLICKHOUSE",
    help="clickhouse://USER:PASSWORD@HOST:9000/DATABASE; the variable keeps the password off the command line.",
)
@click.option("--topic", default=SPANS_TOPIC, show_default=True, help="Topic with OTLP protobuf messages.")
@click.option("--group", default="edgepath", show_default=True, help="Consumer group; start more in it to scale out.")
@click.option(
    "--metrics-topic",
    default=METRICS_TOPIC,
    show_default=True,
    metavar="TOPIC",
    envvar="EDGEPATH_METRICS_TOPIC",
    help="Topic with OTLP metrics. One that is missing is waited for.",
)
@click.option(
    "--metrics-group", metavar="GROUP", help="Consumer group of metrics.  [default: that of --group, and -metrics]"
)
@click.option("--metrics/--no-metrics", default=True, show_default=True, help="Whether metrics are stored, too.")
@click.option(
    "--grace", default=10.0, show_default=True, metavar="SECONDS", help="Quiet time after which a trace closes."
)
@click.option(
    "--complete-grace",
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="The same for a trace with nothing missing.",
)
@click.option(
    "--session-timeout",
    default=45.0,
    show_default=True,
    metavar="SECONDS",
    help="After so long without a word Kafka gives this consumer's partitions to others.",
)
@click.option(
    "--observe",
    default="off",
    show_default=True,
    metavar="HOST:PORT",
    envvar="EDGEPATH_OBSERVE",
    help="Prometheus metrics under /metrics, probes under /healthz and /readyz; each process needs a port of its own.",
)
@click.option(
    "--drain-seconds",
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="When stopped: how long what is due may take to be stored. A second signal ends at once.",
)
@click.option(
    "--tiers",
    default=",".join(DEFAULT_TIERS),
    show_default=True,
    help="Tiers from the client to the API, where paths stop.",
)
@click.option(
    "--tier-of",
    multiple=True,
    metavar="PATTERN=TIER",
    help="Tier of components that do not name theirs, by service.name ('edge-*=edge'); may be repeated.",
)
def consume(
    kafka: "KafkaSettings",
    clickhouse: str,
    topic: str,
    group: str,
    metrics_topic: str,
    metrics_group: str | None,
    metrics: bool,
    grace: float,
    complete_grace: float,
    session_timeout: float,
    observe: str,
    drain_seconds: float,
    tiers: str,
    tier_of: tuple[str, ...],
) -> None:
    """Assemble request paths from Kafka into ClickHouse, and store metrics, until stopped.

    The topic holds OTLP as `edgepath receive` or the OpenTelemetry Collector's Kafka exporter writes it, one trace in one
    partition. Messages that cannot be decoded go to TOPIC.dead with the reason. Offsets are committed after the paths are
    stored; nothing is lost while ClickHouse is away. Spans that come after their path was stored restate it.

    Metrics are read beside them, in a consumer group of their own: neither waits for the other.
    """
    if metrics and metrics_topic == topic:
        raise click.UsageError(
            f"--topic and --metrics-topic are both {topic}: spans and metrics lie in topics of their own"
        )
    from telemetry.app.consume import ConsumeSettings  # noqa: PLC0415 - loads the engine
    from telemetry.app.consume import consume as run  # noqa: PLC0415
    from telemetry.app.tiers import tiers_from  # noqa: PLC0415
    from telemetry.engine.settings import EngineSettings  # noqa: PLC0415
    from telemetry.store.address import ServerAddress  # noqa: PLC0415

    address = ServerAddress.parse(clickhouse)
    settings = ConsumeSettings(
        kafka=kafka,
        clickhouse=address,
        topic=topic,
        group=group,
        metrics_topic=metrics_topic if metrics else "",
        metrics_group=metrics_group or "",
        session_timeout_ms=round(session_timeout * 1000),
        observe=_address(observe),
        drain_seconds=drain_seconds,
        engine=EngineSettings(
            tiers=tiers_from(tiers, tier_of),
            grace_ms=round(grace * 1000),
            complete_grace_ms=round(min(complete_grace, grace) * 1000),
        ),
    )
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, stopping))

    def ready(running: "Consumption") -> None:
        topics = f"{topic} and {metrics_topic}" if metrics else topic
        click.echo(f"consuming {topics} at {kafka.bootstrap} into {address}; Ctrl-C stops")
        threading.Thread(target=_tell, args=(running, stopping), daemon=True).start()

    run(settings, stopping, ready)
    click.echo("stopped")


def _stop(stopping: threading.Event, number: int, _frame: object) -> None:
    """The first signal stops in order, the second at once."""
    stopping.set()
    signal.signal(number, signal.SIG_DFL)


def _address(text: str) -> tuple[str, int] | None:
    """``HOST:PORT``, or ``off``."""
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT such as 127.0.0.1:9464, nor 'off'", param_hint="--observe")
    return host.strip("[]"), int(port)


def _tell(running: "Consumption", stopping: threading.Event) -> None:
    while not stopping.wait(_EVERY_SECONDS):
        s = running.paths()
        line = (
            f"{time.strftime('%H:%M:%S')} {s.partitions} partitions · {s.spans:,} spans · {s.paths:,} paths · "
            f"{s.open_spans:,} open spans · lag {s.lag:,} records"
        )
        more = [
            f"{count:,} {name}"
            for count, name in ((s.late_spans, "late spans"), (s.rejected_records, "dead letters"))
            if count
        ]
        click.echo(" · ".join([line, *more, *([s.trouble] if s.trouble else [])]))
        if running.metrics is None:
            continue
        m = running.metrics()
        if m.status.records or not m.notice:  # why there are none stands in the log, once
            line = f"         metrics: {m.status.points:,} points · lag {m.status.lag:,} records"
            dead = [f"{m.status.rejected_records:,} dead letters"] if m.status.rejected_records else []
            click.echo(" · ".join([line, *dead, *([m.status.trouble] if m.status.trouble else [])]))
