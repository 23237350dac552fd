"""A run full of card numbers from senders without the SDK: none in Kafka's files, ClickHouse's parts, temporary files, logs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.store import open_store
from tests.real.parts import kafka
from tests.redaction.corpus import DISGUISES, NUMBERS
from tests.redaction.places import message
from tests.unit.sdk.sdk_support import until

EDGEPATH = Path(sys.executable).with_name("edgepath")
TRIED = [(number, disguise(number)) for disguise in DISGUISES.values() for number in NUMBERS[::54]]
STORED = (
    "http.route",
    "edgepath.tenant",
    "url.path",
    "http.request.method",
    "client.address",
    "user_agent.original",
    "error.type",
    "response_flags",
)
HEADERS = {"content-type": "application/x-protobuf"}
# In a process of its own: the embedded engine takes one data path a process.
_DUMP = f"""
import json, sys
from pathlib import Path
from {open_store.__module__} import open_store
store = open_store(data_dir=Path(sys.argv[1]))
rows = []
for table in ("request_paths", "late_spans", "metric_points"):
    rows += [str(row) for row in store.query(f"SELECT * FROM {{table}}").rows]
print(json.dumps(rows))
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A Kafka of its own, so that all of its files are this test's."""
    kafka.fetch()
    one = KafkaBroker(tmp_path / "kafka").start()
    try:
        yield one
    finally:
        one.stop()


def request(hidden: str) -> bytes:
    """A path of one API hop, with ``hidden`` wherever OTLP has text; what is stored of a span is full of it, too."""
    made: ExportTraceServiceRequest = message(hidden)
    resource = made.resource_spans[0]
    for name, value in (("edgepath.tier", "api"), ("edgepath.pop", f"fra {hidden}"), ("cloud.region", hidden)):
        resource.resource.attributes.add(key=name).value.string_value = value
    span = resource.scope_spans[0].spans[0]
    span.trace_id, span.span_id, span.kind = uuid.uuid4().bytes, uuid.uuid4().bytes[:8], span.SPAN_KIND_SERVER
    span.end_time_unix_nano = time.time_ns()
    span.start_time_unix_nano = span.end_time_unix_nano - 5_000_000
    for name in STORED:
        span.attributes.add(key=name).value.string_value = f"/v1/{hidden}"
    return made.SerializeToString()


def points(hidden: str) -> bytes:
    """A metric with ``hidden`` wherever OTLP has text for one."""
    made = ExportMetricsServiceRequest()
    resource = made.resource_metrics.add()
    for name in ("service.name", "edgepath.pop", "service.instance.id"):
        resource.resource.attributes.add(key=name).value.string_value = f"fra {hidden}"
    scope = resource.scope_metrics.add()
    scope.scope.name = hidden
    metric = scope.metrics.add(name=f"requests {hidden}", description=hidden, unit=hidden)
    point = metric.sum.data_points.add(as_int=1, time_unix_nano=time.time_ns())
    point.attributes.add(key="http.route").value.string_value = f"/v1/{hidden}"
    point.attributes.add(key=hidden).value.string_value = "x"
    return made.SerializeToString()


@pytest.mark.timeout(300)
def test_a_run_full_of_card_numbers(broker: KafkaBroker, tmp_path: Path) -> None:
    """Receiver, Kafka, engine, embedded ClickHouse and log: every file that the run left, what Kafka kept, what was stored."""
    said = tmp_path / "up.log"
    (tmp_path / "tmp").mkdir()
    options = ["--log-level", "debug", "up", "--kafka", broker.bootstrap, "--data", str(tmp_path / "data")]
    ports = ["--grpc-port", "0", "--http-port", "0", "--web-port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONUNBUFFERED": "1"}
    with (
        said.open("wb") as log,
        subprocess.Popen(
            [EDGEPATH, *options, *ports], stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=tmp_path
        ) as process,
    ):
        try:
            until(lambda: "/v1/traces" in said.read_text() or process.poll() is not None, 60)
            url = re.search(r"http://\S+/v1/traces", said.read_text())
            assert url is not None, said.read_text()[-3000:]
            with httpx.Client(timeout=30) as client:
                for _, hidden in TRIED:
                    assert client.post(url[0], content=request(hidden), headers=HEADERS).status_code == 200
                    answer = client.post(url[0].replace("traces", "metrics"), content=points(hidden), headers=HEADERS)
                    assert answer.status_code == 200
                malformed = b"\xff" + TRIED[0][1].encode()
                assert client.post(url[0], content=malformed, headers=HEADERS).status_code == 400
            kept = _kept(broker, "otlp_spans", "edgepath") + _kept(broker, "otlp_metrics", "edgepath-metrics")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    stored = json.loads(
        subprocess.run(
            [sys.executable, "-c", _DUMP, str(tmp_path / "data")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
    )
    assert len(kept) == len(stored) == 2 * len(TRIED)
    # Kafka makes its indexes ten megabytes long before there is anything in them.
    files = {path: path.read_bytes().rstrip(b"\0") for path in tmp_path.rglob("*") if path.is_file()}
    assert any("kafka" in path.parts for path in files)
    found = []
    for number, hidden in TRIED:
        forms = (number.encode(), hidden.encode())
        found += [
            f"{path.relative_to(tmp_path)}: {hidden}"
            for path, content in files.items()
            if any(f in content for f in forms)
        ]
    assert not found, found[:10]
    # Files may be compressed: what they say is looked at, too.
    everything = b"\n".join(kept), "\n".join(stored).encode()
    for number, hidden in TRIED:
        assert not any(number.encode() in one or hidden.encode() in one for one in everything), hidden


def _kept(broker: KafkaBroker, topic: str, group: str) -> list[bytes]:
    """What a topic holds, decompressed, once the engine has stored and committed all of it."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, nth) for nth in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(partitions)
        assert sum(ends.values()) >= len(TRIED)
        until(lambda: all((consumer.committed(each) or 0) >= ends[each] for each in partitions if ends[each]), 90)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[bytes] = []

        def complete() -> bool:
            for records in consumer.poll(timeout_ms=200).values():
                found.extend(record.value for record in records)
            return len(found) >= int(sum(ends.values()))

        until(complete, 60)
        return found
    finally:
        consumer.close()
