"""A real Apache Kafka on this machine: one broker in KRaft mode, from Maven Central's jars, for the demo and the tests.

Needs Java 17 or newer, and Maven the first time (the jars are kept in the user's cache directory afterwards).
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from telemetry.demo.envoy import Address
from telemetry.demo.processes import LOOPBACK, Processes, Program, free_addresses, tail
from telemetry.errors import ConfigurationError, UnavailableError

JAVA_AT_LEAST: Final = 17
_POM: Final = Path(__file__).with_name("kafka_pom.xml")
_MEND: Final = "or pass --kafka HOST:PORT of a Kafka that runs"
_FETCH_SECONDS: Final = 600.0
# A short life and a small machine: start fast, compile little, keep the heap small.
_JAVA_OPTIONS: Final = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{broker},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.quorum.voters=1@{controller}
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
"""

_LOGGING: Final = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
"""


class KafkaBroker:
    """One Kafka broker (and its controller) on the loopback interface.

    It ends with the process that started it, also when that one is killed. Started again on the same directory it has
    its topics and messages again; with ``port=0`` it keeps the port that it found the first time.

    Args:
        directory: for settings, messages and the log; made if missing.
        port: where clients reach it; 0 finds a free one.
        cache: where the jars are kept; by default ``$XDG_CACHE_HOME/edgepath`` or ``~/.cache/edgepath``.
        properties: lines of ``server.properties`` besides ours; they win.
        format_options: options of the first start's ``StorageTool format``, e.g. ``--add-scram``.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        cache: Path | None = None,
        *,
        properties: str = "",
        format_options: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._port = port
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepath"
        self._properties = properties
        self._format_options = format_options
        self._processes: Processes | None = None

    @property
    def bootstrap(self) -> str:
        """``HOST:PORT`` for clients; known once it has started."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def log(self) -> Path:
        """What the broker writes."""
        return self._directory / "kafka.log"

    @property
    def pid(self) -> int:
        """The broker's process id."""
        if self._processes is None:
            raise UnavailableError("the Kafka broker is not running")
        return self._processes.pids()["kafka"]

    def prepare(self) -> None:
        """Make sure that this machine can run it: find Java, fetch the jars if need be.

        Raises:
            ConfigurationError: Java or Maven is missing or too old.
            UnavailableError: the jars cannot be fetched.
        """
        _java()
        _jars(self._cache)

    def start(self, timeout_seconds: float = 60.0) -> "KafkaBroker":
        """Fetch the jars if need be, start, and wait until it answers.

        Raises:
            ConfigurationError: Java or Maven is missing or too old, or the broker ended at once.
            UnavailableError: the jars cannot be fetched, or it does not answer within the timeout.
        """
        java = _java()
        jars = _jars(self._cache)
        broker, controller = free_addresses(2)
        self._port = self._port or broker.port
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "log4j2.properties").write_text(_LOGGING)
        settings = self._directory / "server.properties"
        settings.write_text(
            _PROPERTIES.format(
                broker=self.bootstrap,
                controller=f"{LOOPBACK}:{controller.port}",
                logs=(self._directory / "logs").resolve(),
            )
            + self._properties.format(broker=self.bootstrap, controller=f"{LOOPBACK}:{controller.port}")
        )
        run = [
            java,
            *_JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={(self._directory / 'log4j2.properties').resolve()}",
            "-cp",
            f"{jars}/*",
        ]
        if not (self._directory / "logs" / "meta.properties").exists():
            self._format([*run, "kafka.tools.StorageTool"], settings)
        self._processes = Processes()
        try:
            self._processes.start(
                Program("kafka", [*run, "kafka.Kafka", str(settings)], self.log, [Address(LOOPBACK, self._port)])
            )
            deadline = time.monotonic() + timeout_seconds
            self._processes.wait_ready(timeout_seconds)
            self._await_answer(deadline)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace_seconds: float = 10.0) -> None:
        """End it in order, by force after ``grace_seconds``. Does nothing the second time."""
        if self._processes is not None:
            self._processes.close(grace_seconds)
            self._processes = None

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str] | None = None) -> None:
        """Create a topic and wait until each partition has a leader; a topic that exists is left as it is.

        Raises:
            UnavailableError: the broker does not answer.
        """
        try:
            with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
                try:
                    admin.create_topics(
                        {name: {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs or {})}}
                    )
                except TopicAlreadyExistsError:
                    return
                admin.wait_for_topics([name])
        except KafkaError as error:
            raise UnavailableError(f"Kafka at {self.bootstrap} did not create topic {name}: {error}") from error

    def _format(self, tool: list[str], settings: Path) -> None:
        # It may begin with a "-": as an argument of its own it would be taken for an option.
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        done = subprocess.run(
            [*tool, "format", f"--cluster-id={cluster}", "-c", str(settings), *self._format_options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ConfigurationError(f"Kafka cannot use {self._directory}: {_last_line(done.stderr or done.stdout)}")

    def _await_answer(self, deadline: float) -> None:
        while True:
            if self._processes is not None:
                self._processes.check()
            try:
                with KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000) as admin:
                    admin.list_topics()
                return
            except KafkaError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"Kafka on {self.bootstrap} does not answer; {self.log} ends with: {tail(self.log)}"
                    ) from error
                time.sleep(0.1)


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise ConfigurationError(
            f"java is missing: install Java {JAVA_AT_LEAST} or newer (Debian: openjdk-17-jre-headless), {_MEND}"
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version[1]) < JAVA_AT_LEAST:
        raise ConfigurationError(
            f"{java} is Java {version[1] if version else 'of an unknown version'}: "
            f"install Java {JAVA_AT_LEAST} or newer, {_MEND}"
        )
    return java


def _jars(cache: Path) -> Path:
    """The directory with the jars, fetched when it is not there. Its name changes with the pom."""
    pom = _POM.read_bytes()
    version = re.search(rb"<kafka\.version>([^<]+)<", pom)
    name = version[1].decode() if version else "unknown"
    jars = cache / f"kafka-{name}-{hashlib.sha256(pom).hexdigest()[:8]}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(f"mvn is missing, it fetches Kafka: install Maven (Debian: maven), {_MEND}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Renamed when whole: a download that was broken off, or a second one beside it, leaves no half directory.
        with tempfile.TemporaryDirectory(dir=cache, prefix="kafka-") as fresh:
            shutil.copy(_POM, Path(fresh, "pom.xml"))  # Maven writes beside its pom
            _fetch(maven, Path(fresh))
            if not jars.is_dir():
                Path(fresh, "jars").rename(jars)
    except OSError as error:
        if jars.is_dir():
            return jars
        raise ConfigurationError(f"cannot keep Kafka's jars in {cache}: {error}; set XDG_CACHE_HOME") from error
    return jars


def _fetch(maven: str, directory: Path) -> None:
    command = [maven, "-B", "-q", "-f", str(directory / "pom.xml"), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={directory / 'jars'}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FETCH_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"fetching Kafka with mvn took more than {_FETCH_SECONDS:.0f} s; try again") from error
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        raise UnavailableError(
            f"mvn could not fetch Kafka: {errors[0] if errors else _last_line(done.stderr)}; "
            f"see that Maven reaches a repository, {_MEND}"
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
