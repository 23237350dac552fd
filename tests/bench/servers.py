"""A real Kafka and a real ClickHouse server for the parts that need them: started once a run, told to the tasks by a file."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from telemetry.demo.kafka_broker import KafkaBroker
from tests.bench.measure import CannotRun
from tests.real.parts import clickhouse, kafka
from tests.real.parts.missing import Missing

_FILE: Final = "servers.json"


@dataclass(frozen=True)
class Servers:
    """What runs.

    Attributes:
        kafka: ``HOST:PORT``.
        clickhouse: URL of the server.
        kafka_pid, clickhouse_pid: process ids; 0 of a server that is not ours.
    """

    kafka: str
    clickhouse: str
    kafka_pid: int
    clickhouse_pid: int

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database, dropped at the end."""
        with clickhouse.database(self.clickhouse) as url:
            yield url

    def topic(self, partitions: int) -> str:
        """The name of a new topic."""
        name = f"spans-{uuid.uuid4().hex[:8]}"
        there = KafkaBroker(Path("unused"), port=int(self.kafka.rpartition(":")[2]))
        there.create_topic(name, partitions)
        return name


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """Both servers, until the end of the body; where they cannot be had, ``folder`` says why instead."""
    with contextlib.ExitStack() as parts:
        try:
            answer = json.dumps(asdict(_start(folder, parts)))
        except Missing as why:
            answer = json.dumps(" ".join(str(why).split()))
        (folder / _FILE).write_text(answer)
        yield


def of(folder: Path) -> Servers:
    """The servers that run.

    Raises:
        CannotRun: there are none.
    """
    content = json.loads((folder / _FILE).read_text())
    if isinstance(content, str):
        raise CannotRun(content)
    return Servers(**content)


def _start(folder: Path, parts: contextlib.ExitStack) -> Servers:
    kafka.fetch()
    broker = KafkaBroker(folder / "kafka")
    # Once for all processes to come, so that none of them compiles while it is measured.
    subprocess.run(
        [sys.executable, "-m", "telemetry.pipeline.warm"], check=True, stdout=subprocess.DEVNULL, timeout=600
    )
    if url := os.environ.get("CLICKHOUSE_URL"):
        pid = 0
    else:
        server = clickhouse.ClickHouseServer(folder / "clickhouse")
        parts.callback(server.stop)
        server.start()
        url, pid = server.url, server.process.pid
    parts.callback(broker.stop)
    broker.start()
    return Servers(broker.bootstrap, url, broker.pid, pid)
