"""TLS, passwords and access rules, with a real Apache Kafka that insists on them."""

import http.server
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.errors import ConfigurationError, EdgepathError, UnavailableError
from telemetry.feeds.base import Record
from telemetry.feeds.kafka import KafkaFeed, KafkaSettings, KafkaSink, Mechanism, Security, ensure_topic
from tests.real.parts.secure_kafka import PASSWORD, STRANGER, USER, SecureKafka


def settings(kafka: SecureKafka, security: Security, mechanism: Mechanism = Mechanism.SCRAM_SHA_512) -> KafkaSettings:
    """How to get in by this way."""
    folder = kafka.folder
    return KafkaSettings(
        kafka.addresses[security.name],
        security,
        ca=folder / "ca.pem" if security.encrypts else None,
        cert=folder / "client.pem" if security is Security.SSL else None,
        key=folder / "client.key" if security is Security.SSL else None,
        mechanism=mechanism,
        user=USER if security.authenticates else "",
        password=PASSWORD if security.authenticates else "",
    ).checked()


def request(traces: Sequence[int]) -> bytes:
    """One span of each trace."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for trace in traces:
        scope.spans.add(trace_id=trace.to_bytes(16), span_id=b"\1" * 8)
    return message.SerializeToString()


def poll(feed: KafkaFeed) -> list[Record]:
    """The first records that come."""
    deadline = time.monotonic() + 20
    while not (records := feed.poll(0.1, 1 << 20)):
        assert time.monotonic() < deadline
    return list(records)


@pytest.mark.parametrize(
    ("security", "mechanism"),
    [
        (Security.SSL, Mechanism.PLAIN),
        (Security.SASL_PLAINTEXT, Mechanism.SCRAM_SHA_512),
        *((Security.SASL_SSL, mechanism) for mechanism in Mechanism),
    ],
)
def test_every_way_in(secure_kafka: SecureKafka, security: Security, mechanism: Mechanism) -> None:
    """For all that connects: making a topic, writing, reading, committing, putting aside."""
    kafka = settings(secure_kafka, security, mechanism)
    topic = f"ours-{uuid.uuid4().hex[:8]}"
    assert ensure_topic(kafka, topic, 1)
    sink = KafkaSink(kafka, topic)
    sink.open()
    sink.accept(request([1]))
    sink.close()
    feed = KafkaFeed(kafka, topic, topic)
    feed.open()
    (record,) = poll(feed)
    feed.reject(record, "not good")
    feed.commit({0: 1})
    feed.close()
    again = KafkaFeed(kafka, topic + ".dead", topic)
    again.open()
    assert [letter.value for letter in poll(again)] == [record.value]
    again.close()


def test_a_locked_key(secure_kafka: SecureKafka) -> None:
    """Opened by its password."""
    kafka = replace(settings(secure_kafka, Security.SSL), key=secure_kafka.folder / "locked.key", key_password=PASSWORD)
    assert ensure_topic(kafka, f"ours-{uuid.uuid4().hex[:8]}", 1)


Change = Callable[[SecureKafka], KafkaSettings]


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (
            lambda k: replace(settings(k, Security.SASL_SSL), password="wrong"),
            ConfigurationError,
            "does not accept the password of user alice (SCRAM-SHA-512): check EDGEPATH_KAFKA_USER, EDGEPATH_KAFKA_PASSWORD",
        ),
        (
            lambda k: replace(settings(k, Security.SASL_PLAINTEXT, Mechanism.PLAIN), password="wrong"),
            ConfigurationError,
            "does not accept the password of user alice (PLAIN)",
        ),
        (
            lambda k: replace(settings(k, Security.SASL_SSL), user="nobody"),
            ConfigurationError,
            "does not accept the password of user nobody",
        ),
        (
            lambda k: replace(settings(k, Security.SASL_SSL), ca=k.folder / "other-ca.pem"),
            ConfigurationError,
            "other-ca.pem (unable to get local issuer certificate): give the file of the authority that signed it with",
        ),
        (
            lambda k: replace(settings(k, Security.SASL_SSL), ca=None),
            ConfigurationError,
            "is not signed by an authority that this system trusts",
        ),
        (
            lambda k: replace(
                settings(k, Security.SASL_SSL), bootstrap=k.addresses["SASL_SSL"].replace("127.0.0.1", "localhost")
            ),
            ConfigurationError,
            "is not for localhost",
        ),
        (
            lambda k: replace(settings(k, Security.SSL), cert=None, key=None),
            ConfigurationError,
            "wants a certificate of ours",
        ),
        (
            lambda k: replace(settings(k, Security.SASL_SSL), bootstrap=k.broker.bootstrap),
            ConfigurationError,
            "does not speak TLS",
        ),
        (
            lambda k: KafkaSettings(k.addresses["SASL_SSL"]),
            ConfigurationError,
            "speaks TLS: set --kafka-security ssl",
        ),
        (
            lambda k: KafkaSettings(k.addresses["SASL_PLAINTEXT"]),
            ConfigurationError,
            "asks for a user and a password: set --kafka-security sasl_plaintext",
        ),
        (
            lambda k: replace(settings(k, Security.SSL), bootstrap=k.addresses["SASL_SSL"]),
            ConfigurationError,
            "asks for a user and a password: set --kafka-security sasl_ssl",
        ),
        (
            lambda k: replace(settings(k, Security.SSL), security=Security.SASL_SSL, user=USER, password=PASSWORD),
            ConfigurationError,
            "does not ask for a user and a password: set --kafka-security ssl",
        ),
        (
            lambda k: settings(k, Security.SASL_PLAINTEXT, Mechanism.SCRAM_SHA_256),
            ConfigurationError,
            "does not know SCRAM-SHA-256: set --kafka-mechanism to one of ",
        ),
        (
            lambda _: KafkaSettings("nowhere.invalid:9092"),
            UnavailableError,
            "no address is known for nowhere.invalid",
        ),
    ],
)
def test_what_keeps_us_out_is_said(
    secure_kafka: SecureKafka, change: Change, kind: type[EdgepathError], said: str
) -> None:
    """One line with the mend, in bounded time, without the password; the same from every client."""
    kafka = change(secure_kafka)
    begun = time.monotonic()
    with pytest.raises(kind) as caught:
        KafkaFeed(kafka, "ours-t", "ours-g").open()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "wrong" not in str(caught.value).replace("wrong version", "")
    assert time.monotonic() - begun < 15
    if "does not accept the password of user alice (PLAIN)" in said:
        for connect in (KafkaSink(kafka, "ours-t").open, lambda: ensure_topic(kafka, "ours-t", 1)):
            with pytest.raises(kind, match="password"):
                connect()


@pytest.mark.parametrize("security", [Security.SASL_PLAINTEXT, Security.SASL_SSL])
def test_something_else_listens(secure_kafka: SecureKafka, security: Security) -> None:
    """A web server's port."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        kafka = replace(settings(secure_kafka, security), bootstrap=f"127.0.0.1:{other.server_port}")
        with pytest.raises(EdgepathError, match=f"127.0.0.1:{other.server_port} does not (answer as Kafka|speak TLS)"):
            KafkaFeed(kafka, "ours-t", "ours-g").open()
        other.shutdown()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ca": "nowhere.pem"}, "--kafka-ca nowhere.pem cannot be used: there is no such file"),
        ({"ca": "client.key"}, "client.key cannot be used: it does not hold certificates in PEM"),
        ({"cert": "nowhere.pem"}, "--kafka-cert nowhere.pem cannot be used: there is no such file"),
        ({"key": "nowhere.key"}, "--kafka-key nowhere.key cannot be used: there is no such file"),
        ({"key": "ca.key"}, "do not hold a certificate and its key in PEM: key values mismatch"),
        ({"cert": "client.key"}, "do not hold a certificate and its key in PEM"),
        ({"cert": None}, "is of no use without --kafka-cert"),
        ({"key": "locked.key"}, "is locked: set the variable EDGEPATH_KAFKA_KEY_PASSWORD"),
        ({"key": "locked.key", "key_password": "xyzzy"}, "EDGEPATH_KAFKA_KEY_PASSWORD does not open the key in"),
        ({"security": Security.PLAINTEXT}, "are for TLS, but --kafka-security is plaintext: set --kafka-security ssl"),
        ({"security": Security.SASL_SSL}, "and the user is missing: set the variable EDGEPATH_KAFKA_USER"),
        ({"user": "alice"}, "a Kafka user is given, but --kafka-security is ssl: set --kafka-security sasl_ssl"),
        (
            {"security": Security.SASL_SSL, "user": "alice"},
            "the password is missing: set the variable EDGEPATH_KAFKA_PASSWORD",
        ),
    ],
)
def test_settings_that_cannot_be_used(secure_kafka: SecureKafka, change: dict[str, Any], said: str) -> None:
    """Said before anything is connected to, and nothing asks the terminal for a password."""
    folder = secure_kafka.folder
    for name, value in change.items():
        if isinstance(value, str) and (folder / value).exists():
            change = {**change, name: folder / value}
        elif isinstance(value, str) and name in ("ca", "cert", "key"):
            change = {**change, name: Path(value)}
    with pytest.raises(ConfigurationError) as caught:
        replace(settings(secure_kafka, Security.SSL), **change).checked()
    assert said in str(caught.value)
    assert "xyzzy" not in str(caught.value)


def test_passwords_are_in_no_representation(secure_kafka: SecureKafka) -> None:
    """Settings end up in tracebacks and logs."""
    kafka = replace(settings(secure_kafka, Security.SASL_SSL), key_password="open-sesame")
    for text in (repr(kafka), str(kafka), f"{kafka}"):
        assert PASSWORD not in text
        assert "open-sesame" not in text


class TestAccessRules:
    """A password is not enough."""

    @pytest.fixture
    def topic(self, secure_kafka: SecureKafka) -> str:
        """One that alice may use and mallory may not."""
        name = f"ours-{uuid.uuid4().hex[:8]}"
        secure_kafka.broker.create_topic(name, 1)
        return name

    def test_to_a_topic(self, secure_kafka: SecureKafka, topic: str) -> None:
        """For reading, writing and making one: who, what, and the rule that is missing."""
        kafka = replace(settings(secure_kafka, Security.SASL_SSL), user=STRANGER)
        for doing, attempt in (
            ("read topic", KafkaFeed(kafka, topic, "ours-g").open),
            ("write to topic", KafkaSink(kafka, topic).open),
            ("make topic", lambda: ensure_topic(kafka, f"{topic}-new", 1)),
        ):
            with pytest.raises(ConfigurationError, match=f"does not let user mallory {doing}") as caught:
                attempt()
            assert "kafka-acls --add --allow-principal User:mallory" in str(caught.value)

    def test_to_a_group(self, secure_kafka: SecureKafka, topic: str) -> None:
        """Told by the polls, which go on: somebody may add the rule."""
        kafka = settings(secure_kafka, Security.SASL_SSL)
        feed = KafkaFeed(kafka, topic, "theirs")
        feed.open()
        with pytest.raises(ConfigurationError, match=r"does not let user alice read topic .* --group"):
            poll(feed)
        feed.close()

    def test_a_topic_that_is_missing_is_told_from_one_that_is_hidden(self, secure_kafka: SecureKafka) -> None:
        """Else one looks for a rule where there is no topic."""
        with pytest.raises(UnavailableError, match="no topic ours-nowhere: create it"):
            KafkaFeed(settings(secure_kafka, Security.SASL_SSL), "ours-nowhere", "ours-g").open()
