"""``edgepath consume``: Kafka to ClickHouse."""

import threading
from typing import TYPE_CHECKING

import click

from telemetry.cli.addresses import address
from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.duration import Duration
from telemetry.cli.kafka_options import kafka_options
from telemetry.cli.logs import say
from telemetry.cli.settings import Configured, setting
from telemetry.cli.stopping import stopped_by_signals
from telemetry.vocabulary import DEFAULT_TIERS, METRICS_TOPIC, SPANS_TOPIC

if TYPE_CHECKING:
    from telemetry.app.consume import Consumption
    from telemetry.feeds.kafka import KafkaSettings
    from telemetry.store.address import ServerAddress

_EVERY_SECONDS = 10.0


@click.command(cls=Configured, runs_on=True)
@kafka_options
@clickhouse_options(required=True)
@setting("--topic", metavar="NAME", default=SPANS_TOPIC, help="Topic with OTLP messages.")
@setting("--group", metavar="NAME", default="edgepath", help="Consumer group; start more in it to scale out.")
@setting(
    "--metrics-topic",
    metavar="NAME",
    default=METRICS_TOPIC,
    help="Topic with OTLP metrics. One that is missing is waited for.",
)
@setting(
    "--metrics-group",
    metavar="NAME",
    show_default="that of --group, and -metrics",
    help="Consumer group of metrics.",
)
@setting("--metrics/--no-metrics", default=True, help="Whether metrics are stored, too.")
@setting("--grace", type=Duration(), default="10s", help="Quiet time after which a trace closes.")
@setting("--complete-grace", type=Duration(), default="2s", help="The same for a trace with nothing missing.")
@setting(
    "--session-timeout",
    type=Duration(),
    default="45s",
    help="After so long without a word Kafka gives this consumer's partitions to others.",
)
@setting(
    "--observe",
    default="off",
    metavar="HOST:PORT",
    envvar="EDGEPATH_OBSERVE",
    help="Prometheus metrics under /metrics, probes under /healthz and /readyz; each process needs a port of its own.",
)
@setting(
    "--drain",
    type=Duration(zero=True),
    default="20s",
    help="When stopped: how long what is due may take to be stored.",
)
@setting(
    "--tiers",
    metavar="NAMES",
    default=",".join(DEFAULT_TIERS),
    help="Tiers on the way to the API, where paths stop.",
)
@setting(
    "--tier-of",
    multiple=True,
    metavar="PATTERN=TIER",
    help="Tier of components that do not name theirs, by service.name ('edge-*=edge'); may be repeated.",
)
def consume(
    kafka: "KafkaSettings",
    clickhouse: "ServerAddress",
    topic: str,
    group: str,
    metrics_topic: str,
    metrics_group: str | None,
    metrics: bool,
    grace: float,
    complete_grace: float,
    session_timeout: float,
    observe: str,
    drain: float,
    tiers: str,
    tier_of: tuple[str, ...],
) -> None:
    """Assemble request paths from Kafka into ClickHouse, and store metrics, until stopped.

    The topic holds OTLP as `edgepath receive` or the OpenTelemetry Collector's Kafka exporter writes it, one trace in one
    partition. Messages that cannot be decoded go to TOPIC.dead with the reason. Offsets are committed after the paths are
    stored; nothing is lost while ClickHouse is away. Spans that come after their path was stored restate it.

    Metrics are read beside them, in a consumer group of their own: neither waits for the other.

    \b
    Examples:
      edgepath consume --kafka kafka-1:9092 --clickhouse clickhouse://db:9000/edgepath
      edgepath consume --config /etc/edgepath/edgepath.toml
    """
    if metrics and metrics_topic == topic:
        raise click.UsageError(
            f"--topic and --metrics-topic are both {topic}: spans and metrics lie in topics of their own"
        )
    from telemetry.app.consume import ConsumeSettings  # noqa: PLC0415 - loads the engine
    from telemetry.app.consume import consume as run  # noqa: PLC0415
    from telemetry.app.tiers import tiers_from  # noqa: PLC0415
    from telemetry.engine.settings import EngineSettings  # noqa: PLC0415

    settings = ConsumeSettings(
        kafka=kafka,
        clickhouse=clickhouse,
        topic=topic,
        group=group,
        metrics_topic=metrics_topic if metrics else "",
        metrics_group=metrics_group or "",
        session_timeout_ms=round(session_timeout * 1000),
        observe=address(observe),
        drain_seconds=drain,
        engine=EngineSettings(
            tiers=tiers_from(tiers, tier_of),
            grace_ms=round(grace * 1000),
            complete_grace_ms=round(min(complete_grace, grace) * 1000),
        ),
    )
    with stopped_by_signals() as stopping:

        def ready(running: "Consumption") -> None:
            topics = f"{topic} and {metrics_topic}" if metrics else topic
            say(f"consuming {topics} at {kafka.bootstrap} into {clickhouse}; Ctrl-C stops", topic=topic, group=group)
            threading.Thread(target=_tell, args=(running, stopping), daemon=True).start()

        def ending() -> None:
            say(f"stopping: what is due is stored, for {drain:g} s at most; a second signal ends at once")

        left = run(settings, stopping, ready, ending)
        if left:
            say(f"stopped; {left:,} blocks could not be stored in time, and are left to who comes next", blocks=left)
        else:
            say("stopped")


def _tell(running: "Consumption", stopping: threading.Event) -> None:
    while not stopping.wait(_EVERY_SECONDS):
        s = running.paths()
        line = (
            f"{s.partitions} partitions · {s.spans:,} spans · {s.paths:,} paths · "
            f"{s.open_spans:,} open spans · lag {s.lag:,} records"
        )
        more = [
            f"{count:,} {name}"
            for count, name in ((s.late_spans, "late spans"), (s.rejected_records, "dead letters"))
            if count
        ]
        say(
            " · ".join([line, *more, *([s.trouble] if s.trouble else [])]),
            clock=True,
            partitions=s.partitions,
            spans=s.spans,
            paths=s.paths,
            open_spans=s.open_spans,
            lag=s.lag,
            late_spans=s.late_spans,
            dead_letters=s.rejected_records,
            trouble=s.trouble,
        )
        if running.metrics is None:
            continue
        m = running.metrics()
        if m.status.records or not m.notice:  # why there are none stands in the log, once
            line = f"metrics: {m.status.points:,} points · lag {m.status.lag:,} records"
            dead = [f"{m.status.rejected_records:,} dead letters"] if m.status.rejected_records else []
            say(
                " · ".join([line, *dead, *([m.status.trouble] if m.status.trouble else [])]),
                clock=True,
                points=m.status.points,
                lag=m.status.lag,
                dead_letters=m.status.rejected_records,
                trouble=m.status.trouble,
            )
