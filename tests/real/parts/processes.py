"""Processes of real parts: on free ports of 127.0.0.1, with a log, ended by pid, and never outliving the test run."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from telemetry.demo import bound

# The kernel binds a child to the *thread* that started it: this one lives as long as the test run.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="test-parts")


def free_ports(count: int) -> list[int]:
    """``count`` different TCP ports that are free on 127.0.0.1 now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Process:
    """One child process, bound to the life of this one.

    Attributes:
        name: what it is, for messages.
        log: the file that its standard output and error go to.
        pid: its process id.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],  # the program by its whole path
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        binding = [sys.executable, "-I", "-S", bound.__file__, str(os.getpid())]
        with log.open("ab") as output:
            self._popen = _SPAWNER.submit(
                subprocess.Popen,
                [*binding, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            ).result()
        self.pid = self._popen.pid

    def running(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self._popen.poll()

    def wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until ``ready()`` is true; ``OSError`` from it counts as not yet.

        Raises:
            RuntimeError: the process ended, or was not ready in time; the message holds the end of its log. It is ended.
        """
        deadline = time.monotonic() + timeout
        while True:
            if not self.running():
                raise RuntimeError(f"{self.name} ended with code {self._popen.returncode} at its start:\n{self.tail()}")
            try:
                if ready():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} was not ready after {timeout:g} s:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal, e.g. SIGSTOP and SIGCONT."""
        if self.running():
            os.kill(self.pid, number)

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end, and kill it if it has not after ``timeout`` seconds."""
        if self.running():
            self._popen.terminate()
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        if self.running():
            self._popen.kill()
        self._popen.wait()
