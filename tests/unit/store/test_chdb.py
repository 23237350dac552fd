"""The embedded engine: failures that leave nothing behind, sessions side by side, one-line errors of unusable directories."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from telemetry.errors import ConfigurationError, StoreError
from telemetry.store.chdb import ChdbEngine, memory_file
from tests.support.chdb_fixture import OpenEngine

# Each of these writes a part of its output before it fails; chDB 4.4 gives that part out before the next statement's output.
FAILING_LATE = (
    "SELECT throwIf(number = 150000), 'left behind' FROM numbers(200000)",
    "SELECT number, intDiv(1, number - 150000) FROM numbers(200000)",
    "SELECT toUInt8(if(number = 150000, 'x', '1')) FROM numbers(200000) SETTINGS max_block_size = 100",
)


@pytest.mark.parametrize("output", ["TSV", "Arrow", "Null", "CSVWithNames"])
@pytest.mark.parametrize("sql", FAILING_LATE)
def test_a_failed_statement_leaves_nothing_before_the_next_ones_output(
    chdb_engine: ChdbEngine, sql: str, output: str
) -> None:
    """The trap that made good spans vanish behind a bad message."""
    for _ in range(3):
        with pytest.raises(StoreError):
            chdb_engine.run(sql, output)
        assert chdb_engine.run("SELECT 1, 'x'", "TSV") == b"1\tx\n"
        assert chdb_engine.query("SELECT 7 AS n").rows == [(7,)]


def test_the_trap_is_still_there(open_chdb: OpenEngine) -> None:
    """Without draining, the next output is wrong: when this fails, chDB was mended and the draining can go."""
    engine = open_chdb()
    session = engine._session()
    wrong = 0
    for sql in FAILING_LATE:
        try:
            session.query(sql, "TSV")
        except Exception:  # noqa: BLE001 - chDB raises plain ones
            answer = session.query("SELECT 1", "TSV")
            wrong += answer.bytes() != b"1\n"
            session.query("SELECT 1", "TSV")
    session.close()
    engine.close()
    assert wrong


def test_errors_are_one_line_with_the_code(chdb_engine: ChdbEngine) -> None:
    """And their cause is kept."""
    with pytest.raises(StoreError, match=r"^Code: 60\. DB::Exception: ") as caught:
        chdb_engine.query("SELECT * FROM no_such_table")
    assert caught.value.code == 60
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__


def test_names_mean_the_engines_database(open_chdb: OpenEngine) -> None:
    """Two engines on one data path, each in its own database, in every session of its pool."""
    one, other = open_chdb(), open_chdb()
    one.run("CREATE TABLE t (x UInt8) ENGINE = Memory AS SELECT 1 AS x")
    other.run("CREATE TABLE t (x UInt8) ENGINE = Memory AS SELECT 2 AS x")
    seen: list[tuple[int, int]] = []

    def read() -> None:
        seen.append((one.query("SELECT x FROM t").scalar(), other.query("SELECT x FROM t").scalar()))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [(1, 2)] * 8
    one.close()
    other.close()


def test_close_lets_the_statement_under_way_end(open_chdb: OpenEngine) -> None:
    """It gives its answer; what comes after is refused; closing again does nothing."""
    engine = open_chdb()
    answers: list[bytes] = []
    begun = threading.Event()

    def slow() -> None:
        begun.set()
        answers.append(
            engine.run("SELECT sleepEachRow(0.1) + number FROM numbers(5) SETTINGS max_block_size = 1", "TSV")
        )

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait()
    time.sleep(0.05)
    engine.close()
    assert engine._idle.empty()
    thread.join(30)
    assert answers == [b"0\n1\n2\n3\n4\n"]
    with pytest.raises(StoreError, match="closed"):
        engine.query("SELECT 1")
    engine.close()


def test_more_threads_than_sessions_wait_their_turn(open_chdb: OpenEngine) -> None:
    """No more statements at once than there are sessions, and none is lost."""
    engine = open_chdb()
    small = ChdbEngine(engine.path, engine.database, sessions=2)
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: done.append(small.query(f"SELECT {n} + sleep(0.02)").scalar()))
        for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(10))
    assert small._idle.qsize() <= 2
    small.close()
    engine.close()


def test_a_trailing_comment_does_no_harm(chdb_engine: ChdbEngine) -> None:
    """Also where the engine asks for the types, as it does for times."""
    rows = chdb_engine.query("SELECT toDateTime(0, 'UTC') AS t -- the beginning").rows
    assert rows[0][0].year == 1970


def test_a_memory_file_is_read_whole_and_leaves_nothing() -> None:
    """More than one write takes; gone afterwards."""
    content = bytes(range(256)) * 100_000
    with memory_file(content) as path:
        assert Path(path).read_bytes() == content
    with pytest.raises(OSError, match=r"No such file|Bad file"):
        Path(path).read_bytes()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_an_unusable_directory_is_told_in_one_line(tmp_path: Path, place: str) -> None:
    """What, where, and the mend."""
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    with pytest.raises(ConfigurationError) as caught:
        ChdbEngine(path)
    assert str(caught.value).startswith(f"cannot write to the data directory {path}: ")
    assert str(caught.value).endswith("; choose another with --data DIR")


def test_a_second_data_path_is_told_in_one_line(open_chdb: OpenEngine, tmp_path: Path) -> None:
    """chDB has one a process."""
    engine = open_chdb()
    with pytest.raises(ConfigurationError, match="cannot open the data directory") as caught:
        ChdbEngine(tmp_path / "other")
    assert "\n" not in str(caught.value)
    engine.close()


def test_another_process_has_the_directory(open_chdb: OpenEngine) -> None:
    """Its lock is seen, and told in one line."""
    engine = open_chdb()
    script = (
        "import sys; from pathlib import Path; from telemetry.store.chdb import ChdbEngine\n"
        "from telemetry.errors import ConfigurationError\n"
        "try: ChdbEngine(Path(sys.argv[1]))\n"
        "except ConfigurationError as error: print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(engine.path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.stdout.count("\n") == 1, answer.stderr[-500:]
    assert answer.stdout.startswith(f"cannot open the data directory {engine.path}: ")
    assert answer.stdout.strip().endswith("is another edgepath running on it?")
    engine.close()
