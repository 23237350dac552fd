"""One topic, one database and a group of consumers between them: what a case breaks, and looks at afterwards."""

import contextlib
import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from alerts.sli_views import sync
from alerts.slos import load
from telemetry.errors import EdgepathError
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from telemetry.store.tables import SLI_1M
from tests.faults.checker import Verdict, arrived, check, missing_poison
from tests.faults.command import command
from tests.faults.consumers import Consumer, Exit, Link
from tests.faults.points import PARTITIONS as METRIC_PARTITIONS
from tests.faults.points import differences, everything_in
from tests.faults.servers import Servers
from tests.faults.traffic import Traffic
from tests.faults.workload import Mix, Workload
from tests.real.parts.clickhouse import database

_TURN: Final = 0.05
_LONG_AGO: Final = 3600
# After its grace a trace is stored with the next flush, a second later at most.
_LATE_SECONDS: Final = 1.7


@dataclass(frozen=True)
class Setting:
    """How a world is set up.

    Attributes:
        consumers: how many.
        partitions: of the topic.
        rate: traces a second.
        grace, complete_grace: the consumers' settings, in seconds.
        session_timeout: after so many seconds of silence Kafka gives a consumer's partitions away.
        window: deduplication window of every table, in blocks; None leaves the schema's.
        stale_blocks: for how many later blocks the consumers trust it; None leaves what they think of the schema's.
        mix: what is sent.
        mutant: how the consumers are broken (see ``tests/faults/mutants.py``); empty for not at all.
    """

    consumers: int = 2
    partitions: int = 4
    rate: float = 25.0
    grace: float = 2.5
    complete_grace: float = 0.6
    session_timeout: float = 6.0
    window: int | None = None
    stale_blocks: int | None = None
    mix: Mix = field(default_factory=Mix)
    mutant: str = ""

    @property
    def command(self) -> Sequence[str | Path]:
        """How a consumer is started, without its arguments."""
        return command(self.stale_blocks, self.mutant)


class World:
    """Set up by :meth:`open`, to be used as a context manager.

    Attributes:
        chance: decides what breaks when.
        servers, traffic, consumers, store: the parts.
        directory: where the logs are.
        topic, metrics_topic: their names, which are the groups' as well.
        faults: how many were done so far.
        exits: consumers that ended without being told to.
        problems: what a case saw that must not be, a line each.
    """

    def __init__(self, servers: Servers, seed: int, setting: Setting, say: Callable[[str], None]) -> None:
        self.servers = servers
        self.setting = setting
        self.chance = random.Random(seed)
        self.say = say
        self.faults = 0
        self.exits: list[Exit] = []
        self.problems: list[str] = []
        self._folders: dict[str, Path] = {}
        self.consumers: list[Consumer] = []
        self.topic = f"faults-{uuid.uuid4().hex[:10]}"
        self.metrics_topic = f"{self.topic}-metrics"
        self._numbers = itertools.count(1)
        self._parts = contextlib.ExitStack()
        self.directory = servers.directory / self.topic
        workload = Workload(seed, setting.grace + _LATE_SECONDS, min(0.3, setting.complete_grace / 2), setting.mix)
        self._workload = workload
        self._slos = load()

    def __enter__(self) -> "World":
        with contextlib.ExitStack() as parts:
            self.directory.mkdir(parents=True)
            self.servers.kafka.create_topic(self.topic, self.setting.partitions)
            self.servers.kafka.create_topic(self.metrics_topic, METRIC_PARTITIONS)
            url = parts.enter_context(_forgiving(database(self.servers.clickhouse.url)))
            address = ServerAddress.parse(url)
            self._database = address.database
            own = self.servers.url(
                address.database, self.servers.clickhouse.tcp_port, self.servers.clickhouse.http_port
            )
            self.store = ServerStore(ServerAddress.parse(own), answer_seconds=30)
            parts.callback(self.store.close)
            schema.apply(self.store)
            # A cut in the past: the views count from the first path on.
            for now in (time.time() - _LONG_AGO, time.time()):
                sync(self.store, self._slos, 60, now)
            self.data_folders()
            if self.setting.window is not None:
                self.set_window(self.setting.window)
            self.traffic = Traffic(
                self.servers.kafka.bootstrap, self.topic, self.metrics_topic, self._workload, self.setting.rate
            )
            parts.callback(self.traffic.close)
            parts.callback(self._end_consumers)
            for _ in range(self.setting.consumers):
                self.add_consumer()
            self.until("the consumers are ready", lambda: all(c.ready() for c in self.consumers), 60)
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    # --- what a case does -----------------------------------------------------------------------------------------------

    def add_consumer(self) -> Consumer:
        """One more in the group, with a link of its own."""
        name = f"consumer-{next(self._numbers)}"
        link = Link(self.servers.loop, self.servers.clickhouse)
        s = self.setting
        command = (
            *(*s.command, "consume", "--kafka", self.servers.kafka.bootstrap, "--topic", self.topic),
            *("--group", self.topic, "--grace", f"{s.grace:g}", "--complete-grace", f"{s.complete_grace:g}"),
            *("--session-timeout", f"{s.session_timeout:g}"),
            *("--metrics-topic", self.metrics_topic, "--metrics-group", self.metrics_topic),
        )
        url = self.servers.url(self._database, link.native.port, link.http.port)
        env = {"EDGEPATH_CLICKHOUSE": url, "PYTHONUNBUFFERED": "1"}
        consumer = Consumer(name, command, link, self.directory / f"{name}.log", env)
        self.consumers.append(consumer)
        consumer.start()
        return consumer

    def remove_consumer(self, consumer: Consumer) -> int | None:
        """End it in order (SIGTERM); gives its exit code."""
        code = consumer.stop()
        consumer.link.close()
        self.consumers.remove(consumer)
        return code

    def any_consumer(self) -> Consumer:
        """One of those that are there."""
        return self.chance.choice(self.consumers)

    def data_folders(self) -> dict[str, Path]:
        """Where ClickHouse keeps each table, as long as it was up when this was asked first."""
        if not self._folders:
            rows = self.store.query(
                "SELECT name, data_paths[1] FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
            ).rows
            self._folders = {name: Path(folder) for name, folder in rows}
        return self._folders

    def set_window(self, blocks: int) -> None:
        """Give every table that has a deduplication window this one; ``sli_1m`` as often as there are SLOs, as in earnest."""
        tables = self.store.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase()"
            " AND position(engine_full, 'non_replicated_deduplication_window') > 0"
        ).rows
        for (table,) in tables:
            places = blocks * len(self._slos) if table == SLI_1M else blocks
            self.store.execute(f"ALTER TABLE `{table}` MODIFY SETTING non_replicated_deduplication_window = {places}")

    def fault(self, what: str) -> None:
        """Count a fault that was done, and say so."""
        self.faults += 1
        self.say(what)

    def pass_time(self, seconds: float) -> None:
        """Let things go on for so long, and keep the consumers running."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._tend()
            time.sleep(min(_TURN, max(0.0, end - time.monotonic())))

    def until(self, what: str, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds, and keep the consumers running; False, said aloud, if it does not in time."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                self.say(f"NOT within {seconds:g} s: {what}")
                return False
            self._tend()
            time.sleep(_TURN)
        return True

    def ready(self, seconds: float = 60) -> bool:
        """Wait until every consumer that should run has come up."""
        return self.until(
            "the consumers are ready", lambda: all(c.ready() for c in self.consumers if c.wanted), seconds
        )

    def settle(self, seconds: float = 90) -> bool:
        """Send what is left, and wait until all that was sent is stored and committed. False if it takes longer."""
        self.traffic.stop()
        return self.until("everything is sent", self.traffic.all_sent, 60) and self.until(
            "everything is stored and committed", self._all_stored, seconds
        )

    def verdict(self, *, settled: bool = True) -> Verdict:
        """Check everything that is stored, the dead letters, and that no consumer ended by itself."""
        verdict = check(self.store, self.traffic.sent, self._slos)
        if not settled:
            verdict.different.append(f"not all that was sent was stored and committed in time ({self._progress()})")
        if self.traffic.sent.poison:
            verdict.different += missing_poison(self.traffic.sent, self._dead_letters(self.topic))
        verdict.different += differences(
            self.store,
            everything_in(self.servers.kafka.bootstrap, self.metrics_topic),
            self._dead_letters(self.metrics_topic),
        )
        verdict.different += self.problems
        verdict.different += [
            f"{one.name} ended by itself with {one.code}: ...{one.said[-600:]}" for one in self.exits if one.was_ready
        ]
        return verdict

    def logs(self) -> Iterator[tuple[str, str]]:
        """Every consumer's log, by name."""
        for path in sorted(self.directory.glob("*.log")):
            yield path.stem, path.read_text(errors="replace")

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        for consumer in self.consumers:
            if ended := consumer.tend():
                self.exits.append(ended)
                self.say(f"{ended.name} ended by itself with {ended.code}{'' if ended.was_ready else ' at its start'}")

    def _end_consumers(self) -> None:
        for consumer in self.consumers:
            consumer.kill()
            consumer.link.close()

    def _all_stored(self) -> bool:
        sent = self.traffic.sent.traces.values()
        try:
            if arrived(self.store) != (len(sent), sum(trace.path.spans for trace in sent)):
                time.sleep(0.2)
                return False
            return all(self._committed(topic) == self._ends(topic) for topic in (self.topic, self.metrics_topic))
        except (EdgepathError, KafkaError):
            return False

    def _progress(self) -> str:
        try:
            paths, spans = arrived(self.store)
        except EdgepathError as error:
            return str(error)
        sent = self.traffic.sent.traces.values()
        try:
            behind = {
                f"{topic} {p}": (self._committed(topic).get(p, 0), end)
                for topic in (self.topic, self.metrics_topic)
                for p, end in sorted(self._ends(topic).items())
            }
            offsets = ", ".join(f"{p}: {done} of {end}" for p, (done, end) in behind.items() if done != end)
        except KafkaError as error:
            offsets = str(error)
        return (
            f"{paths} of {len(sent)} paths, {spans} of {sum(t.path.spans for t in sent)} spans; "
            f"offsets not committed: {offsets or 'none'}"
        )

    def _committed(self, topic: str) -> dict[int, int]:
        with self._admin() as admin:
            offsets = admin.list_group_offsets([topic])[topic]
        return {place.partition: told.offset for place, told in offsets.items() if place.topic == topic}

    def _ends(self, topic: str) -> dict[int, int]:
        partitions = self.setting.partitions if topic == self.topic else METRIC_PARTITIONS
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        with contextlib.closing(KafkaConsumer(bootstrap_servers=self.servers.kafka.bootstrap)) as consumer:
            return {place.partition: end for place, end in consumer.end_offsets(places).items() if end}

    def _admin(self) -> Any:
        return KafkaAdminClient(bootstrap_servers=self.servers.kafka.bootstrap, bootstrap_timeout_ms=3000)

    def _dead_letters(self, topic: str) -> list[bytes]:
        return [message.value for message in everything_in(self.servers.kafka.bootstrap, f"{topic}.dead")]


@contextlib.contextmanager
def _forgiving(context: contextlib.AbstractContextManager[str]) -> Iterator[str]:
    """The database's end is not worth a failure when the case ended with the server down."""
    value = context.__enter__()
    try:
        yield value
    finally:
        with contextlib.suppress(Exception):
            context.__exit__(None, None, None)
