"""The demo's Kafka broker on machines that cannot have one."""

import shutil
from pathlib import Path

import pytest

from telemetry.demo import kafka_broker
from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import ConfigurationError, UnavailableError


def test_java_or_maven_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install or which flag to use instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    broker = KafkaBroker(tmp_path / "kafka", cache=tmp_path / "cache")
    with pytest.raises(ConfigurationError, match=r"java is missing: install Java 17 .*, or pass --kafka HOST:PORT"):
        broker.prepare()
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(ConfigurationError, match=r"is Java 11: install Java 17 or newer"):
        broker.prepare()
    java.write_text("#!/bin/sh\necho 'openjdk version \"21\" 2023-09-19' >&2\n")
    monkeypatch.setattr(shutil, "which", {"java": str(java)}.get)
    with pytest.raises(ConfigurationError, match=r"mvn is missing.*--kafka HOST:PORT"):
        broker.prepare()
    assert not list((tmp_path / "kafka").glob("*"))


def test_a_download_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maven's first error is told, and the cache holds no half of Kafka."""
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\necho '[ERROR] more'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setattr(shutil, "which", {"mvn": str(maven)}.get)
    with pytest.raises(UnavailableError, match=r"mvn could not fetch Kafka: \[ERROR\] Could not transfer artifact;"):
        kafka_broker._jars(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
