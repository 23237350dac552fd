"""The whole way on real parts: OTLP -> `edgepath receive` -> Apache Kafka -> `edgepath consume` -> a ClickHouse server."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from kafka import KafkaConsumer, KafkaProducer

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.domain import paths as reference
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from telemetry.vocabulary import DEFAULT_TIERS, SpanKind
from tests.support import otlp

EDGEPATH = Path(sys.executable).with_name("edgepath")
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def traces(count: int, seed: int) -> list[list[Span]]:
    """Realistic traces of the five tiers, some with a retry, some that end early, some with a lost span."""
    rnd = random.Random(seed)
    return [_trace(rnd, time.time_ns() - 5_000_000_000 + n * 1_000_000) for n in range(count)]


def _trace(rnd: random.Random, start: int) -> list[Span]:
    trace_id, parent, spans = rnd.randbytes(16), 0, []
    duration = rnd.randint(50, 400) * 1_000_000
    ends_at = rnd.choice((4, 4, 4, 4, 1, 3))
    status = 200 if ends_at == 4 else rnd.choice((429, 503))
    for depth, tier in enumerate(DEFAULT_TIERS[: ends_at + 1]):
        common: dict[str, Any] = {
            "trace_id": trace_id,
            "component": f"{tier}-svc",
            "tier": tier,
            "pop": rnd.choice(("fra", "iad")) if depth < 2 else "core",
            "environment": "test",
            "method": "POST",
            "route": "/v1/charges" if tier == "api" else "",
        }
        inbound = Span(
            **common,
            span_id=rnd.getrandbits(63) + 1,
            parent_id=parent,
            kind=SpanKind.SERVER if depth else SpanKind.INTERNAL,
            start_ns=start + depth * 1_000_000,
            duration_ns=duration - depth * 4_000_000,
            status=status,
        )
        spans.append(inbound)
        if depth == ends_at:
            break
        for attempt in range(rnd.choice((1, 1, 1, 2))):
            bad = attempt == 0 and rnd.random() < 0.2
            spans.append(
                Span(
                    **{**common, "route": ""},
                    span_id=rnd.getrandbits(63) + 1,
                    parent_id=inbound.span_id,
                    kind=SpanKind.CLIENT,
                    start_ns=inbound.start_ns + 1_000_000 + attempt * 2_000_000,
                    duration_ns=1_000_000 if bad else max(inbound.duration_ns - 3_000_000, 0),
                    status=503 if bad else status,
                    flags="UF" if bad else "",
                )
            )
        parent = spans[-1].span_id
    if rnd.random() < 0.1 and len(spans) > 3:
        del spans[rnd.randrange(1, len(spans))]
    return spans


@contextlib.contextmanager
def running(*arguments: str, says: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An ``edgepath`` command that is ready; ended in order, and it must end well unless the test has killed it."""
    process = subprocess.Popen(
        [EDGEPATH, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = ""
    try:
        while says not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, said
        if process.poll() is None:  # else the test has killed it
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=30)
            assert process.returncode == 0, said + rest
    finally:
        process.kill()
        process.wait()


def wait_for(store: ServerStore, count: int, seconds: float = 60) -> None:
    """Until so many paths are stored."""
    deadline = time.monotonic() + seconds
    while (have := store.query("SELECT sum(sign) FROM request_paths").scalar()) < count:
        assert time.monotonic() < deadline, f"{have} of {count} paths after {seconds} s"
        time.sleep(0.2)


def stored(store: ServerStore) -> dict[bytes, tuple[Any, ...]]:
    """What is stored, as far as it is compared here."""
    rows = store.query(
        "SELECT trace_hex, outcome, blamed_tier, total_ns, edge_ns, network_ns, retry_ns, unattributed_ns, attempts, spans,"
        " gaps, pop, route, `hops.tier`, `hops.self_ns`, `hops.offset_ns` FROM request_paths FINAL WHERE sign = 1"
    ).rows
    return {bytes.fromhex(row[0]): (*row[1:],) for row in rows}


def expected(spans: Sequence[Span]) -> tuple[Any, ...]:
    """The same of the reference's path."""
    path = reference.assemble(spans, Tiers())
    return (
        path.verdict.outcome.value,
        path.verdict.blamed_tier,
        path.total_ns,
        path.edge_ns,
        path.network_ns,
        path.retry_ns,
        path.unattributed_ns,
        path.attempts,
        path.spans,
        list(path.gaps),
        path.pop,
        path.route,
        [hop.tier for hop in path.hops],
        [hop.self_ns for hop in path.hops],
        [hop.offset_ns for hop in path.hops],
    )


@pytest.mark.timeout(240)
def test_paths_out_of_the_server_equal_the_reference(kafka_broker: KafkaBroker, clickhouse_url: str) -> None:
    """Spans of a trace in several requests and in any order, copies, and garbage between them: every path is right, once."""
    topic = f"spans-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(topic, 3)
    sent = traces(300, seed=1)
    rnd = random.Random(2)
    flat = [span for spans in sent for span in spans]
    rnd.shuffle(flat)
    flat += [replace(span) for span in flat[:50]]
    with (
        running(
            *("receive", "--kafka", kafka_broker.bootstrap, "--topic", topic, "--grpc-port", "0", "--http-port", "0"),
            says="Ctrl-C",
        ) as (_, said),
        running(
            *("consume", "--kafka", kafka_broker.bootstrap, "--topic", topic, "--group", topic),
            *("--clickhouse", clickhouse_url, "--grace", "5", "--complete-grace", "2"),
            says="Ctrl-C",
        ),
    ):
        port = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert port is not None, said
        with grpc.insecure_channel(f"127.0.0.1:{port[1]}") as channel:
            export = channel.unary_unary(EXPORT)
            for begin in range(0, len(flat), 100):
                export(otlp.request(flat[begin : begin + 100]).SerializeToString(), timeout=20)
        producer: Any = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
        producer.send(topic, b"\x0a\xff this is no OTLP").get(timeout=20)
        producer.close()
        with contextlib.closing(ServerStore(ServerAddress.parse(clickhouse_url))) as store:
            wait_for(store, len(sent))
            assert stored(store) == {spans[0].trace_id: expected(spans) for spans in sent}
            assert store.query("SELECT sum(paths) FROM path_1m").scalar() == len(sent)
            assert store.query("SELECT sum(requests) FROM hop_1m").scalar() == sum(
                len(reference.assemble(spans, Tiers()).hops) for spans in sent
            )
        dead: Any = KafkaConsumer(
            f"{topic}.dead",
            bootstrap_servers=kafka_broker.bootstrap,
            auto_offset_reset="earliest",
            consumer_timeout_ms=15000,
        )
        letter = next(iter(dead))
        dead.close()
        assert letter.value == b"\x0a\xff this is no OTLP"
        assert any(b"OTLP" in value for _, value in letter.headers)


@pytest.mark.timeout(240)
def test_a_restarted_consumer_goes_on_where_the_last_one_stopped(
    kafka_broker: KafkaBroker, clickhouse_url: str
) -> None:
    """Stopped with open traces, killed with stored ones: nothing is lost and nothing is there twice."""
    topic = f"spans-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(topic, 2)
    sent = traces(200, seed=3)
    producer: Any = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)

    def produce(spans: list[Span]) -> None:
        key = spans[0].trace_id.hex().encode()
        producer.send(topic, otlp.request(spans).SerializeToString(), key=key).get(timeout=20)

    arguments = (  # without the session timeout, the killed one's partitions would be its own for most of a minute
        *("consume", "--kafka", kafka_broker.bootstrap, "--topic", topic, "--group", topic, "--session-timeout", "4"),
        *("--clickhouse", clickhouse_url, "--complete-grace", "1"),
    )
    with contextlib.closing(ServerStore(ServerAddress.parse(clickhouse_url))) as store:
        # Long enough for what is open to be open still when it is killed.
        with running(*arguments, "--grace", "20", says="Ctrl-C") as (process, _):
            for spans in sent[:100]:
                produce(spans)
            for spans in sent[100:150]:
                produce(spans[:1])
            wait_for(store, 50)
            process.kill()  # as an OOM kill would; the block below sends the rest
            process.wait()
        for spans in sent[100:150]:
            if spans[1:]:
                produce(spans[1:])
        with running(*arguments, "--grace", "5", says="Ctrl-C"):
            for spans in sent[150:]:
                produce(spans)
            wait_for(store, len(sent), seconds=90)
            time.sleep(2)  # what would come twice has come by then
        found = stored(store)
        assert store.query("SELECT sum(sign) FROM request_paths").scalar() == len(sent)
        assert set(found) == {spans[0].trace_id for spans in sent}
        assert {t: found[t] for t in found} == {spans[0].trace_id: expected(spans) for spans in sent}
    producer.close()
