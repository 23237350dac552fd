"""Consumer processes: started, killed, stopped for a while, and kept running as a supervisor would."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.proxy import LoopThread, Proxy
from tests.faults.servers import ROOT
from tests.real.parts.clickhouse import ClickHouseServer
from tests.real.parts.processes import Process

EDGEPATH: Final = Path(sys.executable).with_name("edgepath")
_READY: Final = "Ctrl-C stops"
_BETWEEN_STARTS: Final = 0.5


class Link:
    """A consumer's own way to ClickHouse: proxies before both of its ports, so that it can be cut off alone."""

    def __init__(self, loop: LoopThread, server: ClickHouseServer) -> None:
        self.native = Proxy(loop, server.tcp_port)
        self.http = Proxy(loop, server.http_port)

    @property
    def both(self) -> tuple[Proxy, Proxy]:
        """Native and HTTP."""
        return self.native, self.http

    def cut(self) -> None:
        """Reset all connections of both ports."""
        for proxy in self.both:
            proxy.cut()

    def forget_traps(self) -> None:
        """Take away traps that have not sprung."""
        for proxy in self.both:
            proxy.forget_traps()

    def close(self) -> None:
        """End both proxies."""
        for proxy in self.both:
            proxy.close()


@dataclass(frozen=True)
class Exit:
    """A consumer that ended without being told to.

    Attributes:
        name: which.
        was_ready: whether it had come up; one that finds no server at its start may give up.
        code: what it ended with; negative for a signal.
        said: the end of its log.
    """

    name: str
    was_ready: bool
    code: int | None
    said: str


class Consumer:
    """One ``edgepath consume`` after another under one name, with a link of its own."""

    def __init__(self, name: str, command: Sequence[str | Path], link: Link, log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.link = link
        self.log = log
        self.paused = False
        self.wanted = False
        self._command = command
        self._env = env
        self._process: Process | None = None
        self._log_start = 0
        self._next_start = 0.0

    @property
    def pid(self) -> int:
        """The process id of the last one that was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, if it does not run; it need not be ready yet."""
        self.wanted = True
        if not self.running():
            self._log_start = self.log.stat().st_size if self.log.exists() else 0
            self._next_start = time.monotonic() + _BETWEEN_STARTS
            self._process = Process(self.name, self._command, self.log, self._env, cwd=ROOT)
            self.paused = False

    def running(self) -> bool:
        """Whether its process lives, stopped for a while or not."""
        return self._process is not None and self._process.running()

    def ready(self) -> bool:
        """Whether it has come up since its last start."""
        return self.running() and self._came_up()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()
        self.paused = False

    def shoot(self) -> None:
        """SIGKILL without waiting: for traps."""
        self.wanted = False
        if self.running():
            os.kill(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it stands still, its connections stay."""
        if self._process is not None:
            self._process.send(signal.SIGSTOP)
            self.paused = True

    def wake(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.send(signal.SIGCONT)
        self.paused = False

    def stop(self, timeout: float = 30.0) -> int | None:
        """SIGTERM, and SIGKILL if it takes longer than ``timeout`` seconds; what it ended with."""
        self.wanted = False
        self.wake()
        if self._process is None:
            return None
        self._process.stop(timeout)
        return self._process.code

    def tend(self) -> Exit | None:
        """Start it anew if it ended without being told to, as a supervisor would."""
        if not self.wanted or self.running() or time.monotonic() < self._next_start:
            return None
        ended = None
        if self._process is not None:
            ended = Exit(self.name, self._came_up(), self._process.code, self._process.tail(1500))
        self.start()
        return ended

    def _came_up(self) -> bool:
        return _READY in self.said()

    def said(self) -> str:
        """What it has written since its last start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")
