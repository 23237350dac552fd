"""The baseline of ``consumer``: a consumer as one writes it in plain Python, between the same Kafka and the same ClickHouse.

kafka-python polls, opentelemetry-proto parses, a loop over spans and attributes makes rows, clickhouse-driver inserts 10,000
at a time into one table of *spans*, and the group's offsets are committed by themselves. It assembles no paths, keeps no
roll-ups, and stores some spans twice or not at all when it dies: it does less than Edgepath's consumer.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from clickhouse_driver import Client
from kafka import KafkaConsumer

from telemetry.store.address import ServerAddress
from tests.bench import servers
from tests.bench.load import Load, produce
from tests.bench.measure import Series, cpu, per_cpu_second
from tests.bench.parts.plain import COLUMNS, ROWS_AN_INSERT, rows_of

_COPIES: Final = 15
_WAIT_MS: Final = 1000
_LONGEST_SECONDS: Final = 60.0


def run(folder: Path) -> dict[str, Series]:
    """500-span messages, one partition: spans a CPU second, and a second."""
    found, load = servers.of(folder), Load("batch", 2_000)
    with found.database() as url:
        address = ServerAddress.parse(url)
        topic = found.topic(1)
        spans = produce(found.kafka, topic, load, copies=_COPIES, partitions=1)
        consumer = KafkaConsumer(
            topic, bootstrap_servers=found.kafka, group_id=topic, auto_offset_reset="earliest", max_poll_records=5_000
        )
        client = Client(
            address.host, address.port, database=address.database, user=address.user, password=address.password
        )
        with closing(consumer), client:
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS)
            client.execute(f"CREATE TABLE spans ({columns}) ENGINE = MergeTree ORDER BY start")
            consumer.poll(timeout_ms=0)  # join the group
            begun = time.monotonic()
            with cpu() as used:
                stored = _consume(consumer, client, spans)
            seconds = time.monotonic() - begun
            if stored != spans or client.execute("SELECT count() FROM spans") != [(spans,)]:
                raise AssertionError(f"{stored} of {spans} spans were stored")
    return {
        "consumer.plain_python.spans_per_cpu_second": per_cpu_second(spans, used),
        "consumer.plain_python.spans_per_second": Series("spans/s", (spans / seconds,)),
    }


def _consume(consumer: Any, client: Client, spans: int) -> int:
    rows = (row for value in _values(consumer) for row in rows_of(value))
    stored = 0
    while stored < spans and (block := list(itertools.islice(rows, min(ROWS_AN_INSERT, spans - stored)))):
        stored += client.execute("INSERT INTO spans VALUES", block)
    return stored


def _values(consumer: Any) -> Iterator[bytes]:
    """The messages; ends when none has come for long."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline:
        for messages in consumer.poll(timeout_ms=_WAIT_MS).values():
            for message in messages:
                yield message.value
