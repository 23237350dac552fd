"""A real Apache Kafka that encrypts, asks for passwords and certificates, and has access rules."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from telemetry.demo.kafka_broker import KafkaBroker
from tests.real.parts import kafka
from tests.real.parts.missing import Missing
from tests.real.parts.processes import free_ports

USER, PASSWORD = "alice", "correct-horse-battery"
"""May do everything with topics and groups that begin with ``ours``."""
STRANGER = "mallory"
"""Has the same password, and may do nothing."""
NAMES = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")

# The plain listener is ours alone: who comes there is the cluster's administrator.
_PROPERTIES = """
listeners=PLAINTEXT://{{broker}},CONTROLLER://{{controller}},{listeners}
advertised.listeners=PLAINTEXT://{{broker}},{listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
"""
_LOGIN = """\
listener.name.{listener}.{mechanism}.sasl.jaas.config={module} required{users};
"""


@dataclass(frozen=True)
class SecureKafka:
    """A running broker.

    Attributes:
        broker: it; its ``bootstrap`` is the plain listener.
        addresses: ``HOST:PORT`` of each listener, by its protocol's name.
        folder: holds ``ca.pem``, ``client.pem`` (certificate), ``client.key``, ``locked.key`` (with PASSWORD), and
            ``other-ca.pem``, which has signed nothing here.
    """

    broker: KafkaBroker
    addresses: dict[str, str]
    folder: Path


def openssl(folder: Path, *arguments: str) -> None:
    """Run it in ``folder``."""
    program = shutil.which("openssl")
    if program is None:
        raise Missing("OpenSSL's command", "it is not on PATH", "install it (Debian: apt-get install openssl)")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def certificates(folder: Path) -> None:
    """An authority, the broker's certificate for 127.0.0.1, a client's, and an authority that nobody knows."""
    folder.mkdir(parents=True)
    for name in ("ca", "other-ca"):
        _new(folder, name, "-x509", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        (folder / f"{name}.csr").rename(folder / f"{name}.pem")
    for name in ("broker", "client"):
        _new(folder, name)
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        openssl(
            *(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"),
            *("-CAcreateserial", "-extfile", "names", "-out", f"{name}.pem"),
        )
    openssl(folder, "pkcs8", "-topk8", "-in", "client.key", "-out", "locked.key", "-passout", f"pass:{PASSWORD}")
    both = (folder / "broker.key").read_text() + (folder / "broker.pem").read_text()
    (folder / "broker.pem").write_text(both)


def _new(folder: Path, name: str, *more: str) -> None:
    openssl(
        *(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", *more),
    )


def properties(folder: Path, addresses: dict[str, str]) -> str:
    """Lines of ``server.properties``."""
    listeners = ",".join(f"{name}://{address}" for name, address in addresses.items())
    text = _PROPERTIES.format(listeners=listeners, folder=folder)
    users = f' user_{USER}="{PASSWORD}" user_{STRANGER}="{PASSWORD}"'
    package = "org.apache.kafka.common.security"
    for listener in ("sasl_ssl", "sasl_plaintext"):
        text += _LOGIN.format(
            listener=listener, mechanism="plain", module=f"{package}.plain.PlainLoginModule", users=users
        )
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            text += _LOGIN.format(
                listener=listener, mechanism=mechanism, module=f"{package}.scram.ScramLoginModule", users=""
            )
    return text


def _scram() -> Sequence[str]:
    return [
        option
        for user in (USER, STRANGER)
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for option in ("--add-scram", f"{mechanism}=[name={user},password={PASSWORD}]")
    ]


def allow(cluster: SecureKafka, principal: str, prefix: str, *kinds: Any) -> None:
    """Let a user do everything with what begins with ``prefix``."""
    rules = [
        ACL(
            principal=f"User:{principal}",
            host="*",
            operation=ACLOperation.ALL,
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(kind, prefix, ACLResourcePatternType.PREFIXED),
        )
        for kind in kinds or (ResourceType.TOPIC, ResourceType.GROUP)
    ]
    with KafkaAdminClient(bootstrap_servers=cluster.broker.bootstrap) as admin:
        admin.create_acls(rules)


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A running broker; tests share it."""
    kafka.fetch()
    folder = tmp_path_factory.mktemp("secure-kafka")
    certificates(folder / "pki")
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(NAMES, free_ports(3), strict=True)}
    broker = KafkaBroker(folder / "broker", properties=properties(folder / "pki", addresses), format_options=_scram())
    broker.start()
    started = SecureKafka(broker, addresses, folder / "pki")
    try:
        allow(started, USER, "ours")
        allow(started, "CN=client", "ours")
        yield started
    finally:
        broker.stop()
