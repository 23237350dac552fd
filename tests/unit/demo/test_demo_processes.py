"""Child processes: ready, watched, stopped, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.demo.envoy import Address
from telemetry.demo.processes import Processes, Program, free_addresses, reserve, tail
from telemetry.errors import ConfigurationError, UnavailableError

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group that is closed after the test."""
    group = Processes()
    yield group
    group.close(0.2)


def program(folder: Path, code: str, *ready: Address) -> Program:
    """A Python child."""
    return Program("child", [sys.executable, "-c", code], folder / "child.log", ready)


def wait_until_up(log: Path) -> None:
    """Wait until the child has said so."""
    deadline = time.monotonic() + 10
    while "up" not in tail(log) and time.monotonic() < deadline:
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ready_is_when_it_listens(processes: Processes, tmp_path: Path) -> None:
    """A server that listens a little later."""
    (address,) = free_addresses(1)
    code = (
        f"import socket, time; time.sleep(.3); s = socket.create_server({(address.host, address.port)}); time.sleep(60)"
    )
    processes.start(program(tmp_path, code, address))
    processes.wait_ready(10)


def test_not_ready_in_time_names_the_log(processes: Processes, tmp_path: Path) -> None:
    """The child lives but does not listen."""
    (address,) = free_addresses(1)
    processes.start(program(tmp_path, SLEEPER, address))
    with pytest.raises(
        UnavailableError, match=r"child does not listen on 127\.0\.0\.1:\d+ after 0 s; see .*child\.log"
    ):
        processes.wait_ready(0.1)


def test_an_early_end_shows_the_end_of_the_log(processes: Processes, tmp_path: Path) -> None:
    """What the child said last, on one line."""
    (address,) = free_addresses(1)
    processes.start(program(tmp_path, "import sys; sys.exit('bind: address in use\\nbye')", address))
    with pytest.raises(ConfigurationError) as caught:
        processes.wait_ready(10)
    expected = f"child ended early (exit status 1); {tmp_path / 'child.log'} ends with: bind: address in use | bye"
    assert str(caught.value) == expected


def test_check_notices_a_killed_child(processes: Processes, tmp_path: Path) -> None:
    """By its signal's name."""
    processes.start(program(tmp_path, SLEEPER))
    processes.check()
    os.kill(processes.pid("child"), signal.SIGKILL)
    os.waitid(os.P_PID, processes.pid("child"), os.WEXITED | os.WNOWAIT)
    with pytest.raises(ConfigurationError, match=r"child ended early \(signal SIGKILL\)"):
        processes.check()


def test_stop_ends_even_a_stubborn_child(processes: Processes, tmp_path: Path) -> None:
    """SIGTERM first, SIGKILL after the grace."""
    processes.start(program(tmp_path, STUBBORN))
    wait_until_up(tmp_path / "child.log")
    pid = processes.pid("child")
    began = time.monotonic()
    processes.stop("child", grace_seconds=0.3)
    assert 0.2 < time.monotonic() - began < 3
    assert not runs(pid)


def test_close_twice_and_stop_of_what_is_gone_do_nothing(processes: Processes, tmp_path: Path) -> None:
    """Stopping is safe at any time."""
    processes.start(program(tmp_path, SLEEPER))
    processes.close()
    processes.close()
    processes.stop("child", 1)


def test_what_cannot_be_run_is_a_configuration_error(processes: Processes, tmp_path: Path) -> None:
    """Here: no folder for the log."""
    with pytest.raises(ConfigurationError, match="child cannot be started"):
        processes.start(program(tmp_path / "missing", SLEEPER))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's own")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 leaves nothing behind."""
    parent = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from telemetry.demo.processes import Processes, Program
        group = Processes()
        group.start(Program("child", [sys.executable, "-c", {STUBBORN!r}], Path({str(tmp_path / "child.log")!r})))
        print(group.pid("child"), flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        wait_until_up(tmp_path / "child.log")
        assert runs(pid)
        process.kill()
    deadline = time.monotonic() + 5
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(pid)


def test_a_reserved_port_refuses_and_free_ones_differ() -> None:
    """The dead port of the incident; and no address is given out twice."""
    with reserve() as reserved:
        address = Address(*reserved.getsockname())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port), timeout=1)
    assert len(set(free_addresses(20))) == 20


def test_tail_of_nothing() -> None:
    """A log that was never written."""
    assert tail(Path("there-is-no-such-file")) == "(nothing)"
