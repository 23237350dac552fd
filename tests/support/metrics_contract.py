"""Metrics in the log and in their table, on every store. Subclasses give the fixture ``store``."""

import math
import time
from typing import Any

import pytest

from telemetry.blocklog.logs import METRICS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables, resume_offset
from telemetry.engine.metric_rows import metric_block
from telemetry.engine.metrics import MetricDecoder, MetricSettings
from telemetry.errors import FencedError
from telemetry.feeds.base import Record
from telemetry.store.base import Store
from tests.support.metric_messages import of_the_sdk, point, request

TOPIC = "otlp_metrics"
AT_NS = time.time_ns() - 60 * 10**9
"""When the points were made: the table forgets old ones."""


def rows_of(*values: bytes, first: int = 0) -> Any:
    """Rows of messages at offsets from ``first`` on, that arrived when they were made."""
    at = AT_NS // 1_000_000
    records = [Record(0, first + n, at, value) for n, value in enumerate(values)]
    return MetricDecoder(MetricSettings()).decode(records).rows


def gauges(*values: float) -> bytes:
    """A message with a gauge for each value."""
    message, metrics = request()
    for value in values:
        point(metrics, "g", "gauge", as_double=value, time=AT_NS, attributes={"größe": "ü"})
    return bytes(message.SerializeToString())


class MetricsContract:
    """The suite. ``store``: an open store with the schema applied and no rows, for each test a new one."""

    def test_points_land_once(self, store: Store) -> None:
        """However often their block is sent; the log and the table have the same columns."""
        log = BlockLog(SqlLogTables(store, METRICS, TOPIC))
        lease = log.take_over(0)
        rows = rows_of(gauges(1.0, 2.0), gauges(3.0))
        block = metric_block(rows, topic=TOPIC, partition=0, number=lease.next_number, writer=lease.writer)
        for _ in range(3):
            log.append(block)
        told = store.query(
            "SELECT value, attributes, component, metric, last_offset, block FROM metric_points ORDER BY value"
        ).rows
        assert told == [(n, {"größe": "ü"}, "envoy-fra", "g", n == 3.0, 2) for n in (1.0, 2.0, 3.0)]
        stored = store.arrow("SELECT * FROM metric_points ORDER BY value")
        logged = store.arrow("SELECT * FROM metric_log WHERE kind = 'point' ORDER BY value")
        assert str(stored.to_pylist()) == str(
            logged.select(stored.column_names).to_pylist()
        )  # NaN is not equal to itself

    def test_values_that_are_no_numbers(self, store: Store) -> None:
        """NaN and infinity come back as they went in."""
        log = BlockLog(SqlLogTables(store, METRICS, TOPIC))
        lease = log.take_over(0)
        rows = rows_of(gauges(math.nan, math.inf, -math.inf, 1e308, 5e-324, -0.0))
        log.append(metric_block(rows, topic=TOPIC, partition=0, number=2, writer=lease.writer))
        (values,) = store.query("SELECT groupArray(value) FROM metric_points").rows[0]
        assert {repr(value) for value in values} == {"nan", "inf", "-inf", "1e+308", "5e-324", "-0.0"}

    def test_all_kinds_of_points(self, store: Store) -> None:
        """As OpenTelemetry's SDK sends them, and a summary, with an exemplar."""
        message, metrics = request()
        summary = point(metrics, "s", "summary", count=3, sum=4.5, time=AT_NS)
        summary.quantile_values.add(quantile=0.5, value=1.0)
        traced = point(metrics, "h", "histogram", time=AT_NS, count=2, explicit_bounds=[1.0], bucket_counts=[2**63, 1])
        traced.exemplars.add(time_unix_nano=AT_NS, as_int=7, trace_id=b"\x00" * 15 + b"\x01", span_id=b"\xff" * 8)
        log = BlockLog(SqlLogTables(store, METRICS, TOPIC))
        lease = log.take_over(0)
        rows = rows_of(of_the_sdk(), bytes(message.SerializeToString()))
        log.append(metric_block(rows, topic=TOPIC, partition=0, number=2, writer=lease.writer))
        found = {row["metric"]: row for row in store.query("SELECT * FROM metric_points").dicts()}
        assert {(name, row["type"]) for name, row in found.items()} == {
            ("requests", "sum"), ("duration", "histogram"), ("exponential", "exponential_histogram"),
            ("temperature", "gauge"), ("s", "summary"), ("h", "histogram"),
        }  # fmt: skip
        assert (found["duration"]["bounds"], found["duration"]["bucket_counts"]) == ([0.1, 1.0], [1, 1, 1])
        assert sum(found["exponential"]["positive_counts"]) == 3
        assert (found["s"]["quantile_levels"], found["s"]["quantile_values"]) == ([0.5], [1.0])
        assert found["h"]["bucket_counts"] == [2**63, 1]
        assert found["h"]["exemplars.span_id"] == [2**64 - 1]
        trace = store.query("SELECT hex(exemplars.trace_id[1]), exemplars.value FROM metric_points WHERE metric = 'h'")
        assert trace.rows == [("0" * 31 + "1", [7.0])]

    def test_where_to_go_on(self, store: Store) -> None:
        """After the last record that is stored, whatever was committed; also when the log's rows have expired."""
        log = BlockLog(SqlLogTables(store, METRICS, TOPIC))
        lease = log.take_over(0)

        def go_on(committed: int, partition: int = 0) -> int:
            return resume_offset(store, METRICS, topic=TOPIC, partition=partition, committed=committed)

        assert (go_on(0), go_on(5)) == (0, 5)
        log.append(metric_block(rows_of(gauges(1.0), first=0), topic=TOPIC, partition=0, number=2, writer=lease.writer))
        assert (go_on(0), go_on(5), go_on(0, partition=1)) == (1, 5, 0)
        log.append(
            metric_block(rows_of(gauges(1.0), first=41), topic=TOPIC, partition=0, number=3, writer=lease.writer)
        )
        assert go_on(7) == 42
        store.execute("TRUNCATE TABLE metric_log")
        assert go_on(7) == 42

    def test_a_lost_partition(self, store: Store) -> None:
        """The same protocol as of paths."""
        log = BlockLog(SqlLogTables(store, METRICS, TOPIC))
        lease = log.take_over(0)
        BlockLog(SqlLogTables(store, METRICS, TOPIC)).take_over(0)
        with pytest.raises(FencedError):
            log.append(metric_block(rows_of(gauges(1.0)), topic=TOPIC, partition=0, number=2, writer=lease.writer))
        assert store.query("SELECT count() FROM metric_points").scalar() == 0
