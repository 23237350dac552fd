"""Child processes: started together, watched, and stopped by their process ids in bounded time."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telemetry.demo.envoy import Address
from telemetry.errors import ConfigurationError, UnavailableError

LOOPBACK: Final = "127.0.0.1"
_BOUND: Final = Path(__file__).with_name("bound.py")
_TAIL_LINES: Final = 5


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        name: a name for people, unique in its group.
        command: the program's path and its arguments.
        log: the file that takes what it writes.
        ready: the addresses that it listens on once it is ready.
        environment: its variables; None for those of this process.
    """

    name: str
    command: Sequence[str]
    log: Path
    ready: Sequence[Address] = ()
    environment: Mapping[str, str] | None = None


class Processes:
    """A group of child processes that live no longer than the process that started them.

    Args:
        monotonic: the clock, in seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._running: dict[str, tuple[Program, subprocess.Popen[bytes]]] = {}
        # The kernel binds a child to the *thread* that started it: this one lives as long as the group.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="demo-spawner")

    def start(self, program: Program) -> None:
        """Start ``program``; it need not be ready yet.

        Raises:
            ConfigurationError: it cannot be run.
        """
        self._running[program.name] = (program, self._spawner.submit(_spawn, program).result())

    def wait_ready(self, timeout_seconds: float) -> None:
        """Wait until everything that was started takes connections.

        Raises:
            ConfigurationError: a child ended before it was ready.
            UnavailableError: it took longer than the timeout.
        """
        deadline = self._monotonic() + timeout_seconds
        waiting = [(program, address) for program, _ in self._running.values() for address in program.ready]
        while True:
            self.check()
            waiting = [(program, address) for program, address in waiting if not _listens(address)]
            if not waiting:
                return
            if self._monotonic() > deadline:
                program, address = waiting[0]
                raise UnavailableError(
                    f"{program.name} does not listen on {address} after {timeout_seconds:.0f} s; see {program.log}"
                )
            self._sleep(0.05)

    def check(self) -> None:
        """Look after the children.

        Raises:
            ConfigurationError: one has ended; the message has the end of its log.
        """
        for program, process in self._running.values():
            if process.poll() is not None:
                raise ConfigurationError(
                    f"{program.name} ended early ({_ending(process.returncode)}); "
                    f"{program.log} ends with: {tail(program.log)}"
                )

    def pid(self, name: str) -> int:
        """The process id of a child."""
        return self._running[name][1].pid

    def pids(self) -> dict[str, int]:
        """The process ids of the children by name."""
        return {name: process.pid for name, (_, process) in self._running.items()}

    def stop(self, name: str, grace_seconds: float) -> None:
        """Ask a child to end (SIGTERM), and end it (SIGKILL) when it has not after ``grace_seconds``."""
        self._stop([name], grace_seconds)

    def close(self, grace_seconds: float = 2.0) -> None:
        """Stop every child, all at once. Does nothing the second time."""
        self._stop(list(self._running), grace_seconds)
        self._spawner.shutdown()

    def _stop(self, names: Sequence[str], grace_seconds: float) -> None:
        processes = [self._running.pop(name)[1] for name in names if name in self._running]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = self._monotonic() + grace_seconds
        for process in processes:
            try:
                process.wait(max(0.0, deadline - self._monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_addresses(count: int) -> list[Address]:
    """So many different free loopback addresses. Free now: take them soon."""
    # All are held until all are chosen, so that none is given out twice.
    held = [reserve() for _ in range(count)]
    try:
        return [Address(LOOPBACK, reserved.getsockname()[1]) for reserved in held]
    finally:
        for reserved in held:
            reserved.close()


def reserve() -> socket.socket:
    """A loopback port that is taken but does not listen: while the socket is open, connections to it are refused."""
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.bind((LOOPBACK, 0))
    return reserved


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last non-empty lines of a log file, on one line."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(nothing)"
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:]) or "(nothing)"


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    try:
        with program.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_BOUND), str(os.getpid()), *program.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=program.environment,
                start_new_session=True,  # Ctrl-C reaches only the parent, which stops the children in order
            )
    except OSError as error:
        raise ConfigurationError(f"{program.name} cannot be started: {error}") from error


def _listens(address: Address) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _ending(returncode: int) -> str:
    return f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"exit status {returncode}"
