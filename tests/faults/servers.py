"""The Kafka and the ClickHouse of a run: its own, so that they may be killed. Worlds come and go on them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from telemetry.demo.kafka_broker import KafkaBroker
from tests.faults.proxy import LOOPBACK, LoopThread
from tests.real.parts import kafka
from tests.real.parts.clickhouse import ClickHouseServer

ROOT: Final = Path(__file__).parents[2]


class Servers:
    """Real servers on this machine.

    Attributes:
        kafka: the broker.
        clickhouse: the server; its data survive :meth:`kill_clickhouse`.
        loop: where the proxies run.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kafka = KafkaBroker(directory / "kafka")
        self.clickhouse = ClickHouseServer(directory / "clickhouse")
        self.loop = LoopThread()
        self.clickhouse_up = False

    def start(self) -> "Servers":
        """Start both.

        Raises:
            Missing: this machine cannot have one of them.
        """
        kafka.fetch()
        # Else every consumer that is killed before it has compiled its engine begins anew.
        subprocess.run([sys.executable, "-m", "telemetry.pipeline.warm"], cwd=ROOT, check=True, capture_output=True)
        self.kafka.start()
        self.start_clickhouse()
        return self

    def stop(self) -> None:
        """End both. Does nothing the second time."""
        self.kafka.stop()
        self.clickhouse.stop()
        self.clickhouse_up = False
        self.loop.close()

    def url(self, database: str, tcp_port: int, http_port: int) -> str:
        """The ClickHouse URL of a database, by way of these ports."""
        parts = urlsplit(self.clickhouse.url)
        return f"clickhouse://{parts.username}:{parts.password}@{LOOPBACK}:{tcp_port}/{database}?http_port={http_port}"

    def kill_clickhouse(self) -> None:
        """As a power cut of the process: SIGKILL. Nothing if it is down already."""
        if self.clickhouse_up:
            self.clickhouse_up = False
            self.clickhouse.kill()

    def start_clickhouse(self) -> None:
        """Start it, on the data that it has."""
        if not self.clickhouse_up:
            self.clickhouse.start()
            self.clickhouse_up = True

    @contextlib.contextmanager
    def kafka_down(self, *, killed: bool) -> Iterator[None]:
        """No broker meanwhile: killed, or stopped in order."""
        if killed:
            os.kill(self.kafka.pid, signal.SIGKILL)
        self.kafka.stop()
        try:
            yield
        finally:
            self.kafka.start()

    @contextlib.contextmanager
    def clickhouse_down(self) -> Iterator[None]:
        """No ClickHouse meanwhile; killed."""
        self.kill_clickhouse()
        try:
            yield
        finally:
            self.start_clickhouse()
