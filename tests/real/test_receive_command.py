"""``edgepath receive`` as a process of its own, with a real Kafka."""

import os
import re
import signal
import socket
import subprocess
import sys
import uuid

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.base import Record
from telemetry.feeds.kafka import KafkaFeed
from tests.real.parts.secure_kafka import PASSWORD, USER, SecureKafka

COMMAND = [sys.executable, "-c", "from telemetry.cli.receive import receive; receive(prog_name='edgepath receive')"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_receive_writes_to_kafka_and_stops_cleanly(kafka_broker: KafkaBroker, number: signal.Signals) -> None:
    """It makes its topics, takes a span, and on Ctrl-C ends with status 0 and a summary."""
    topic = f"spans-{uuid.uuid4().hex[:8]}"
    options = ["--kafka", kafka_broker.bootstrap, "--grpc-port", "0", "--http-port", "0", "--partitions", "3"]
    options += ["--topic", topic, "--metrics-topic", f"{topic}-metrics"]
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"made topic {topic} with 3 partitions\n"
            assert process.stdout.readline() == f"made topic {topic}-metrics with 3 partitions\n"
            url = re.search(r"http://\S+/v1/traces", process.stdout.readline())
            assert url is not None
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=url[0])))
            with provider.get_tracer("test").start_as_current_span("hello"):
                pass
            provider.shutdown()
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert "took 1 requests: 1 spans, 0 data points" in out
    feed = KafkaFeed(kafka_broker.bootstrap, topic, "g")
    feed.open()
    records: list[Record] = []
    for _ in range(100):
        records += feed.poll(0.2, 1 << 20)
        if records:
            break
    feed.close()
    assert len(records) == 1
    assert b"hello" in records[0].value


def test_no_kafka_there() -> None:
    """One line that names the address and the flag; status 1."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = subprocess.run([*COMMAND, "--kafka", address], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert address in done.stderr
    assert "--kafka HOST:PORT" in done.stderr


def test_port_in_use(kafka_broker: KafkaBroker) -> None:
    """One line that names the port and the flag; status 1; the process ends though Kafka was connected."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ["--kafka", kafka_broker.bootstrap, "--grpc-port", "0", "--http-port", str(port)]
        done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: port {port} on 127.0.0.1 is in use: stop what listens there, or choose another with --http-port\n"
    )


def test_over_tls_with_a_password(secure_kafka: SecureKafka) -> None:
    """The password comes from the environment; a wrong one ends it with one line that has the mend and not the password."""
    topic = f"ours-{uuid.uuid4().hex[:8]}"
    options = ["--kafka", secure_kafka.addresses["SASL_SSL"], "--kafka-security", "sasl_ssl", "--grpc-port", "0"]
    options += ["--kafka-ca", str(secure_kafka.folder / "ca.pem"), "--topic", topic, "--metrics-topic", f"{topic}-m"]
    options += ["--http-port", "0"]
    login = os.environ | {"EDGEPATH_KAFKA_USER": USER, "EDGEPATH_KAFKA_PASSWORD": PASSWORD, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=login
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            assert lines[0].startswith(f"made topic {topic} with")
            assert "receiving OTLP" in lines[2]
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert PASSWORD not in "".join(lines) + out + err
    wrong = {**login, "EDGEPATH_KAFKA_PASSWORD": "xyzzy-wrong"}
    for environment, said, status in (
        (wrong, "does not accept the password of user alice", 1),
        (os.environ, "set the variable EDGEPATH_KAFKA_USER", 2),
    ):
        done = subprocess.run(
            [*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False, env=dict(environment)
        )
        assert (done.returncode, done.stderr.count("\n")) == (status, 1)
        assert said in done.stderr
        assert "xyzzy" not in done.stdout + done.stderr
