"""A consumer as it is operated: a settings file, Kafka with TLS and a password, ClickHouse with TLS and a user of few rights.

Its output and logs hold no secret and no card number, it ends in order on a signal and at once on the second one.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from alerts import policies, sli_views, slos
from telemetry.domain import paths as reference
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from telemetry.vocabulary import ConsumerMetric
from tests.real.parts import clickhouse
from tests.real.parts.processes import free_ports
from tests.real.parts.secure_kafka import PASSWORD, STRANGER, USER, SecureKafka, allow
from tests.real.parts.tls import certificates, front
from tests.real.test_kafka_to_clickhouse import traces
from tests.redaction.corpus import DISGUISES
from tests.support import otlp
from tests.support.waiting import wait_until

EDGEPATH = Path(sys.executable).with_name("edgepath")
DEPLOY = Path(__file__).parents[2] / "deploy" / "README.md"
STORE_PASSWORD = "staple-of-clickhouse"
CARD = "4242424242424242"
CARDS = [disguise(CARD) for disguise in DISGUISES.values()]


def grants(user: str) -> tuple[str, ...]:
    """What the documentation says that this user needs: exactly that is given to it."""
    found = re.findall(rf"^(GRANT .*) TO {user};$", DEPLOY.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return tuple(found)


@dataclass(frozen=True)
class Place:
    """Where a consumer is operated.

    Attributes:
        folder: holds ``edgepath.toml`` and the secrets.
        topic: with two partitions; the group has the same name.
        admin: the store, as one who may do everything.
        server: ClickHouse.
        kafka: the cluster.
        producer: writes to it.
    """

    folder: Path
    topic: str
    admin: ServerStore
    server: clickhouse.ClickHouseServer
    kafka: SecureKafka
    producer: Any

    def command(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """The command with this place's settings file; nothing of it on the command line."""
        environment = {**os.environ, "EDGEPATH_CONFIG": str(self.folder / "edgepath.toml"), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [EDGEPATH, *arguments],
            stdout=(self.folder / "out").open("w"),
            stderr=(self.folder / "err").open("w"),
            text=True,
            env=environment | variables,
            cwd=self.folder,
        )

    @contextlib.contextmanager
    def consumer(self, **variables: str) -> "Iterator[subprocess.Popen[str]]":
        """A consumer that is ready."""
        with self.command("consume", **variables) as process:
            try:
                wait_until(lambda: "consuming" in self.said() or process.poll() is not None)
                assert process.poll() is None, self.said()
                yield process
            finally:
                process.kill()

    def said(self) -> str:
        """All that the last command has written."""
        return (self.folder / "out").read_text() + (self.folder / "err").read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The same: every line is a JSON object."""
        return [json.loads(line) for line in self.said().splitlines()]

    def produce(self, value: bytes, partition: int) -> int:
        """Write a message and return its offset."""
        written = self.producer.send(self.topic, value, partition=partition).get(timeout=20)
        return int(written.offset)

    def send(self, spans: list[Span]) -> int:
        """Write a trace, as one message, into the partition that its first byte names; its offset."""
        return self.produce(otlp.request(spans).SerializeToString(), spans[0].trace_id[0] % 2)

    def committed(self) -> Mapping[int, int]:
        """The group's offset of each partition, as the broker has it."""
        with KafkaAdminClient(bootstrap_servers=self.kafka.broker.bootstrap) as admin:
            found: Any = admin.list_group_offsets({self.topic: None})[self.topic]
            return {place.partition: at.offset for place, at in found.items()}

    def end(self, partition: int) -> int:
        """The offset after the last message of a partition."""
        with contextlib.closing(KafkaConsumer(bootstrap_servers=self.kafka.broker.bootstrap)) as reader:
            where = TopicPartition(self.topic, partition)
            return int(reader.end_offsets([where])[where])

    def members(self) -> list[tuple[str, int]]:
        """State of the groups of paths and of metrics, and how many members they have, as the broker sees them."""
        with KafkaAdminClient(bootstrap_servers=self.kafka.broker.bootstrap) as admin:
            names = [self.topic, f"{self.topic}-metrics"]
            found: Any = admin.describe_groups(names)
            return [(found[name]["group_state"], len(found[name]["members"])) for name in names]

    def paths(self) -> int:
        """How many are stored."""
        return int(self.admin.query("SELECT sum(sign) FROM request_paths").scalar() or 0)


def kafka_rights(kafka: SecureKafka, topic: str) -> None:
    """What deploy/README.md says that a consumer needs, for a user that has no other."""
    rules = [
        rule
        for name in (topic, f"{topic}-metrics")
        for rule in (
            (ResourceType.TOPIC, name, ACLOperation.READ),
            (ResourceType.GROUP, name, ACLOperation.READ),
            (ResourceType.TOPIC, f"{name}.dead", ACLOperation.CREATE),
            (ResourceType.TOPIC, f"{name}.dead", ACLOperation.WRITE),
        )
    ]
    with KafkaAdminClient(bootstrap_servers=kafka.broker.bootstrap) as admin:
        admin.create_acls(
            [
                ACL(
                    principal=f"User:{STRANGER}",
                    host="*",
                    operation=operation,
                    permission_type=ACLPermissionType.ALLOW,
                    resource_pattern=ResourcePattern(kind, name, ACLResourcePatternType.LITERAL),
                )
                for kind, name, operation in rules
            ]
        )


@pytest.fixture
def place(secure_kafka: SecureKafka, tmp_path: Path) -> Iterator[Place]:
    """Everything but the consumer."""
    topic = f"operated-{uuid.uuid4().hex[:8]}"
    secure_kafka.broker.create_topic(topic, 2)
    secure_kafka.broker.create_topic(f"{topic}-metrics", 1)
    kafka_rights(secure_kafka, topic)
    made = certificates(tmp_path / "tls")
    users = [clickhouse.User(name, STORE_PASSWORD, grants(name)) for name in ("edgepath_consume", "edgepath_watch")]
    server = clickhouse.ClickHouseServer(tmp_path / "clickhouse", users)
    with contextlib.ExitStack() as parts:
        server.start()
        parts.callback(server.stop)
        admin = ServerStore(replace(ServerAddress.parse(server.url), database="edgepath"))
        parts.callback(admin.close)
        schema.apply(admin)
        native, http = (parts.enter_context(front(port, made)) for port in (server.tcp_port, server.http_port))
        for name, secret in (("kafka", PASSWORD), ("clickhouse", STORE_PASSWORD)):
            (tmp_path / f"{name}.secret").write_text(secret + "\n")
            (tmp_path / f"{name}.secret").chmod(0o600)
        (tmp_path / "user").write_text(f"{STRANGER}\n")
        (tmp_path / "edgepath.toml").write_text(f"""
[log]
level = "debug"
format = "json"
[kafka]
bootstrap = "{secure_kafka.addresses["SASL_SSL"]}"
security = "sasl_ssl"
mechanism = "PLAIN"
user-file = "user"
password-file = "kafka.secret"
ca = "{secure_kafka.folder}/ca.pem"
[clickhouse]
url = "clickhouses://localhost:{native}/edgepath?http_port={http}"
ca = "{made.authority.relative_to(tmp_path)}"
user = "edgepath_consume"
password-file = "clickhouse.secret"
[consume]
topic = "{topic}"
group = "{topic}"
metrics-topic = "{topic}-metrics"
grace = "600s"
complete-grace = "0.3s"
drain = "600s"
""")
        producer: Any = KafkaProducer(bootstrap_servers=secure_kafka.broker.bootstrap)
        parts.callback(producer.close)
        yield Place(tmp_path, topic, admin, server, secure_kafka, producer)


def complete(count: int, seed: int) -> list[list[Span]]:
    """Traces that close soon: nothing is missing of them, and they reach the API."""
    whole = (spans for spans in traces(4 * count, seed) if not reference.assemble(spans, Tiers()).gaps)
    return [spans for spans in whole if {"client", "api"} <= {span.tier for span in spans}][:count]


def opened(seed: int) -> list[Span]:
    """The beginning of a trace, in partition 0: it does not close in this test."""
    return [replace(complete(1, seed)[0][0], trace_id=bytes(15) + b"\1")]


def letters(place: Place) -> list[bytes]:
    """Keys, values and headers of the dead letters."""
    with contextlib.closing(KafkaConsumer(bootstrap_servers=place.kafka.broker.bootstrap)) as reader:
        where = TopicPartition(f"{place.topic}.dead", 0)
        if not reader.partitions_for_topic(where.topic):
            return []
        reader.assign([where])
        reader.seek_to_beginning(where)
        end = reader.end_offsets([where])[where]
        found: list[bytes] = []
        while reader.position(where) < end:
            for records in reader.poll(timeout_ms=500).values():
                found += [b"\n".join([r.value or b"", *(value for _, value in r.headers)]) for r in records]
        return found


def clean(place: Place, *more: bytes) -> None:
    """Nothing that was written holds a secret or a card number, in whatever form."""
    everything = place.said().encode() + b"\n".join(more)
    for secret in (PASSWORD, STORE_PASSWORD, "wrong-horse", "wrong-staple", CARD, *CARDS):
        assert secret.encode() not in everything, secret
        assert json.dumps(secret)[1:-1].encode() not in everything, secret
        assert json.dumps(repr(secret.encode())[2:-1])[1:-1].encode() not in everything, secret


@pytest.mark.timeout(240)
def test_few_rights_no_secrets_and_an_orderly_end(place: Place) -> None:
    """The whole way with the rights that are documented; all is committed and the group empty when it has ended."""
    with place.command(
        "watch", "--once", EDGEPATH_CLICKHOUSE_USER="edgepath_watch"
    ) as watcher:  # makes the SLOs' views
        assert watcher.wait(60) == 0, place.said()
    assert not [line for line in place.lines() if line["level"] == "error"]
    clean(place)
    address = replace(
        ServerAddress.parse(place.server.url), database="edgepath", user="edgepath_watch", password=STORE_PASSWORD
    )
    with contextlib.closing(ServerStore(address)) as watching:  # later on it backfills them
        told = sli_views.sync(watching, slos.load(), policies.load("workbook").resolution_seconds, time.time() + 600)
        assert set(told.backfilled) == {slo.name for slo in slos.load()}
    sent = complete(40, seed=5)
    poison = [b"\xff" + hidden.encode() for hidden in CARDS] + [b"\x0a\x30 " + hidden.encode() for hidden in CARDS]
    with place.consumer() as process:
        for spans in sent:
            place.send(spans)
        for message in poison:
            place.produce(message, 1)
        wait_until(lambda: place.paths() == len(sent), 90)
        wait_until(lambda: len(letters(place)) == len(poison), 90)
        open_at = place.send(opened(seed=6))
        wait_until(lambda: place.members() == [("Stable", 1)] * 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, place.said()[-3000:]
    assert place.members() == [("Empty", 0)] * 2
    assert place.committed() == {0: open_at, 1: place.end(1)}
    assert place.admin.query("SELECT sum(total) > 0 FROM sli_1m").scalar()
    said = place.lines()
    assert said[-1]["message"] == "stopped" or "stopped" in {line["message"] for line in said}
    assert {"kafka", "telemetry", "edgepath"} <= {line["logger"].partition(".")[0] for line in said}
    assert any("SaslAuthenticate" in line["message"] for line in said)
    clean(place, *letters(place))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("variable", "wrong", "says"),
    [
        ("EDGEPATH_KAFKA_PASSWORD", "wrong-horse", "does not accept the password of user mallory"),
        ("EDGEPATH_CLICKHOUSE_PASSWORD", "wrong-staple", "Authentication failed"),
    ],
)
def test_a_wrong_password(place: Place, variable: str, wrong: str, says: str) -> None:
    """Ends with status 1 and says whose; a variable is stronger than the file. The password is not told, nor the right one."""
    with place.command("consume", **{variable: wrong}) as process:
        assert process.wait(60) == 1
    (error,) = (line for line in place.lines() if line["level"] == "error" and line["logger"] == "edgepath")
    assert says in error["message"]
    clean(place)


@pytest.mark.timeout(240)
def test_what_is_due_is_stored_before_the_end_and_a_second_signal_does_not_wait(place: Place) -> None:
    """ClickHouse stands still as the signal comes: the end waits for it; a second signal waits for nothing."""
    (port,) = free_ports(1)

    def due(process: "subprocess.Popen[str]", seed: int) -> None:
        """Something waits for ClickHouse, and the consumer has been told to stop."""
        had = place.paths()
        for spans in [[replace(s, trace_id=bytes([n]) * 16) for s in complete(1, seed)[0]] for n in (seed, seed + 1)]:
            place.send(spans)  # one into each partition: it must have been taken over before
        wait_until(lambda: place.paths() == had + 2 and not metric(port, ConsumerMetric.WAITING_BLOCKS), 60)
        assert metric(port, ConsumerMetric.PATHS) == 2
        place.server.process.send(signal.SIGSTOP)
        for spans in complete(5, seed):
            place.send(spans)
        wait_until(lambda: metric(port, ConsumerMetric.PATHS) == 2 + 5)  # they are assembled
        assert metric(port, ConsumerMetric.WAITING_BLOCKS) > 0
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping: what is due is stored" in place.said())
        assert process.poll() is None

    with place.consumer(EDGEPATH_OBSERVE=f"127.0.0.1:{port}") as process:
        due(process, seed=7)
        place.server.process.send(signal.SIGCONT)
        assert process.wait(90) == 0, place.said()[-3000:]
    assert place.members() == [("Empty", 0)] * 2
    assert place.paths() == 2 + 5
    assert place.committed() == {0: place.end(0), 1: place.end(1)}
    try:
        with place.consumer(EDGEPATH_OBSERVE=f"127.0.0.1:{port}") as process:
            due(process, seed=17)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == -signal.SIGTERM
    finally:
        place.server.process.send(signal.SIGCONT)


def metric(port: int, metric: ConsumerMetric) -> float:
    """What the consumer tells of itself."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    name = metric.value.replace(".", "_")
    return sum(float(value) for value in re.findall(rf"^{name}(?:_total)?(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@pytest.mark.timeout(120)
def test_up_with_a_kafka_that_wants_a_password(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    """`edgepath up --kafka` gets in by the same settings; what was sent is acknowledged by Kafka; its logs are JSON as well."""
    allow(secure_kafka, USER, "otlp_", ResourceType.TOPIC)
    allow(secure_kafka, USER, "edgepath", ResourceType.GROUP)
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "edgepath.toml").write_text(f"""
[log]
format = "json"
level = "info"
[kafka]
user = "{USER}"
password-file = "secret"
ca = "{secure_kafka.folder}/ca.pem"
[up]
kafka = "{secure_kafka.addresses["SASL_SSL"]}"
data = "data"
grpc-port = 0
http-port = 0
web-port = 0
""")
    options = ["--config", str(tmp_path / "edgepath.toml"), "--kafka-security", "sasl_ssl"]
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen([EDGEPATH, "up", *options], stdout=said, stderr=said, cwd=tmp_path) as process,
    ):
        try:
            wait_until(lambda: '"where"' in (tmp_path / "said").read_text() or process.poll() is not None, 90)
            lines = [json.loads(line) for line in (tmp_path / "said").read_text().splitlines()]
            (where,) = (line["fields"]["where"] for line in lines if "where" in line.get("fields", ()))
            assert where["Kafka"] == f"{secure_kafka.addresses['SASL_SSL']}, topics otlp_spans and otlp_metrics"
            body = otlp.request(complete(1, seed=9)[0]).SerializeToString()
            url = where["OTLP/HTTP"].split()[0]
            answer = httpx.post(url, content=body, headers={"content-type": "application/x-protobuf"}, timeout=30)
            assert answer.status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    text = (tmp_path / "said").read_text()
    assert [json.loads(line)["level"] for line in text.splitlines()]
    assert PASSWORD not in text
