"""The journal: order, durability, bounds, recovery."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry.errors import ConfigurationError, MalformedError, OverloadedError, UnavailableError
from telemetry.feeds.base import Record
from telemetry.feeds.journal import DeadLetters, Fsync, Journal

OpenJournal = Callable[..., Journal]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[OpenJournal]:
    """``open_journal(**settings)``: an open journal in ``tmp_path``; the one before is closed."""
    opened: list[Journal] = []

    def make(**settings: Any) -> Journal:
        for journal in opened:
            journal.close()
        opened[:] = [Journal(tmp_path, **settings)]
        opened[0].open()
        return opened[0]

    yield make
    for journal in opened:
        journal.close()


def everything(journal: Journal, max_bytes: int = 1 << 20) -> list[Record]:
    """All records that wait."""
    records: list[Record] = []
    while got := journal.poll(0, max_bytes):
        records += got
    return records


def payloads(journal: Journal) -> list[bytes]:
    """Their payloads."""
    return [record.value for record in everything(journal)]


def segments(path: Path) -> list[Path]:
    """The journal's files."""
    return sorted((path / "journal").glob("*.segment"))


def test_records_come_out_in_order_with_offset_and_arrival(open_journal: OpenJournal) -> None:
    """Offsets grow by one from 0; the arrival time is the receiver's clock."""
    journal = open_journal(now_ms=lambda: 1234)
    for number in range(5):
        journal.accept(b"%d" % number)
    assert journal.lag() == 5
    assert everything(journal) == [Record(0, number, 1234, b"%d" % number) for number in range(5)]
    assert not journal.poll(0, 1)
    assert (journal.lag(), dict(journal.assigned())) == (0, {0: 0})


@pytest.mark.parametrize("max_bytes", [1, 99, 100, 250, 100_000])
def test_poll_is_bounded_but_gives_at_least_one(open_journal: OpenJournal, max_bytes: int) -> None:
    """No poll gives more than was asked for, except one lone record; none is skipped."""
    journal = open_journal()
    sizes = [100, 100, 100, 70_000, 200_000, 1, 0, 100]
    for size in sizes:
        journal.accept(b"x" * size)
    seen = []
    while records := journal.poll(0, max_bytes):
        assert len(records) == 1 or sum(len(record.value) for record in records) <= max_bytes
        seen += [len(record.value) for record in records]
        assert not journal.poll(0, 0)
    assert seen == sizes


def test_poll_waits_for_a_record(open_journal: OpenJournal) -> None:
    """It returns as soon as one is there, and empty-handed when the journal is closed meanwhile."""
    journal = open_journal()
    threading.Timer(0.05, journal.accept, [b"a"]).start()
    assert [record.value for record in journal.poll(10, 100)] == [b"a"]
    threading.Timer(0.05, journal.close).start()
    assert not journal.poll(10, 100)
    with pytest.raises(UnavailableError, match="closed"):
        journal.accept(b"b")


def test_restart_resumes_at_the_committed_offset(open_journal: OpenJournal) -> None:
    """What was polled but not committed comes again; offsets go on."""
    journal = open_journal()
    for number in range(6):
        journal.accept(b"%d" % number)
    assert len(everything(journal)) == 6
    journal.commit({0: 4})
    journal = open_journal()
    assert dict(journal.assigned()) == {0: 4}
    journal.accept(b"6")
    assert [(record.offset, record.value) for record in everything(journal)] == [(4, b"4"), (5, b"5"), (6, b"6")]


def test_commit_never_goes_back_and_never_ahead(open_journal: OpenJournal) -> None:
    """An older offset changes nothing; one that was not read yet is a mistake."""
    journal = open_journal()
    for _ in range(3):
        journal.accept(b"x")
    with pytest.raises(ValueError, match="offset 1 cannot be committed"):
        journal.commit({0: 1})
    everything(journal)
    journal.commit({0: 3})
    journal.commit({0: 1})
    journal.commit({})
    assert dict(journal.assigned()) == {0: 3}


def test_committed_segments_are_removed(open_journal: OpenJournal, tmp_path: Path) -> None:
    """Files whose records are all committed go; offsets never start anew, even when nothing waits."""
    journal = open_journal(segment_bytes=1000)
    for _ in range(50):
        journal.accept(b"x" * 200)
    assert len(segments(tmp_path)) > 5
    everything(journal)
    journal.commit({0: 50})
    assert len(segments(tmp_path)) == 1
    for path in segments(tmp_path):  # somebody tidies up
        journal.close()
        path.unlink()
    journal = open_journal()
    journal.accept(b"next")
    assert [record.offset for record in everything(journal)] == [50]


def test_full_journal_is_backpressure_until_committed(open_journal: OpenJournal) -> None:
    """OverloadedError at the bound, nothing kept of the refused; room again after a commit."""
    journal = open_journal(max_bytes=100_000)
    taken = 0

    def fill() -> None:
        nonlocal taken
        while True:
            journal.accept(b"x" * 1000)
            taken += 1

    with pytest.raises(OverloadedError, match=r"journal is full \(100000 bytes wait to be stored\)") as caught:
        fill()
    assert caught.value.retry_after == 1.0
    assert 90 <= taken <= 100
    assert len(everything(journal)) == taken
    journal.commit({0: taken})
    journal.accept(b"y" * 1000)
    assert payloads(journal) == [b"y" * 1000]
    with pytest.raises(MalformedError, match="too large for a journal of 100000"):
        journal.accept(b"z" * 60_000)


@pytest.mark.parametrize("cut", ["head", "payload", "flipped", "zeros"])
def test_torn_tail_is_cut_off(open_journal: OpenJournal, tmp_path: Path, cut: str) -> None:
    """However the last write was torn, whole records before it stay and new ones follow them."""
    journal = open_journal()
    for number in range(3):
        journal.accept(b"record %d" % number)
    journal.close()
    path = segments(tmp_path)[-1]
    whole = path.read_bytes()
    last = whole[8 + 2 * (len(whole) - 8) // 3 :]
    path.write_bytes(
        {
            "head": whole + last[:10],
            "payload": whole + last[:-1],
            "flipped": whole + last[:-1] + bytes([last[-1] ^ 1]),
            "zeros": whole + bytes(4096),
        }[cut]
    )
    journal = open_journal()
    assert path.read_bytes() == whole
    journal.accept(b"record 3")
    assert [(r.offset, r.value) for r in everything(journal)] == [(n, b"record %d" % n) for n in range(4)]
    assert len(list((tmp_path / "dead-letters").glob("*.otlp"))) == 1


def test_every_length_of_the_last_file_is_recovered(open_journal: OpenJournal, tmp_path: Path) -> None:
    """Property: cut at any byte, exactly the whole records are there and the journal goes on."""
    journal = open_journal()
    for number in range(4):
        journal.accept(b"%d" % number * (number + 1))
    journal.close()
    path = segments(tmp_path)[-1]
    whole = path.read_bytes()
    ends = [8]
    for number in range(4):
        ends.append(ends[-1] + 24 + number + 1)
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        journal = open_journal()
        expected = sum(end <= length for end in ends[1:])
        journal.accept(b"new")
        records = everything(journal)
        assert [record.offset for record in records] == list(range(expected + 1)), length
        assert records[-1].value == b"new"
        journal.close()


def test_damage_in_the_middle_is_put_aside(open_journal: OpenJournal, tmp_path: Path) -> None:
    """A damaged file gives what lies before the damage; the rest of it goes to the dead letters; later files are read."""
    journal = open_journal(segment_bytes=300)
    for number in range(9):
        journal.accept(b"%d" % number * 100)
    journal.close()
    first = segments(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[8 + 124 + 50] ^= 1
    first.write_bytes(data)
    records = everything(open_journal(segment_bytes=300))
    assert [record.offset for record in records] == [0, *range(int(segments(tmp_path)[1].stem), 9)]
    (note,) = (tmp_path / "dead-letters").glob("*.json")
    assert "damaged on disk" in json.loads(note.read_text())["reason"]


def test_many_writers_share_an_fsync(open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are durable when they return, with far fewer fsyncs than records."""
    journal = open_journal()
    syncs: list[int] = []
    real = os.fdatasync
    slow = threading.Event()

    def fdatasync(fd: int) -> None:
        syncs.append(fd)
        slow.wait(0.01)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)

    def write(writer: int) -> None:
        for number in range(20):
            journal.accept(b"%d %d" % (writer, number))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    got = payloads(journal)
    assert sorted(got) == sorted(b"%d %d" % (writer, number) for writer in range(16) for number in range(20))
    for writer in range(16):  # each writer's own order is kept
        own = [payload for payload in got if payload.startswith(b"%d " % writer)]
        assert own == [b"%d %d" % (writer, number) for number in range(20)]
    assert len(syncs) < 100


def test_a_record_is_not_seen_before_it_is_durable(open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the sender's answer nor the pipeline's poll runs ahead of the fsync."""
    journal = open_journal()
    syncing, go_on = threading.Event(), threading.Event()

    def fdatasync(_: int) -> None:
        syncing.set()
        assert go_on.wait(10)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    sender = threading.Thread(target=journal.accept, args=(b"a",))
    sender.start()
    assert syncing.wait(10)
    assert not journal.poll(0, 100)
    assert sender.is_alive()
    go_on.set()
    sender.join(10)
    assert payloads(journal) == [b"a"]


def test_fsync_by_interval(open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the interval, most writes do not wait; a poll forces the last ones when nobody writes any more."""
    clock = [100.0]
    journal = open_journal(fsync=Fsync.INTERVAL, fsync_seconds=1.0, monotonic=lambda: clock[0])
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    for _ in range(10):
        journal.accept(b"x")
    assert len(syncs) == 1
    journal.poll(0, 1000)
    assert len(syncs) == 1
    clock[0] += 1
    journal.poll(0, 1000)
    assert len(syncs) == 2


@pytest.mark.parametrize(
    ("call", "number", "error", "said"),
    [
        ("pwrite", errno.ENOSPC, OverloadedError, "no space left in"),
        ("pwrite", errno.EIO, UnavailableError, "Input/output error"),
        ("fdatasync", errno.ENOSPC, OverloadedError, "no space left in"),
        ("fdatasync", errno.EIO, UnavailableError, "Input/output error"),
    ],
)
def test_failing_disk_refuses_and_corrupts_nothing(
    open_journal: OpenJournal,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[Exception],
    said: str,
) -> None:
    """A write that fails half way is taken back: neither it nor a neighbour is seen, now or after a restart."""
    journal = open_journal()
    journal.accept(b"before")
    real = os.pwrite

    def failing(*arguments: Any) -> int:
        if call == "pwrite":
            real(arguments[0], bytes(arguments[1])[:7], arguments[2])
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(error, match=said):
            journal.accept(b"refused")
    journal.accept(b"after")
    assert [(r.offset, r.value) for r in everything(journal)] == [(0, b"before"), (1, b"after")]
    assert payloads(open_journal()) == [b"before", b"after"]


def test_bytes_that_cannot_be_taken_back_are_never_seen(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """fsync fails, and so does truncation: the whole record on disk was refused, so its offset is another's."""
    journal = open_journal()
    journal.accept(b"before")

    def failing(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing)
        calls = iter([failing])
        real = os.fdatasync

        def fdatasync(fd: int) -> None:
            next(calls, real)(fd)

        patch.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(UnavailableError, match="broken"):
            journal.accept(b"refused")
    journal.accept(b"after")
    assert len(segments(tmp_path)) == 2
    assert b"refused" in segments(tmp_path)[0].read_bytes()
    for reopen in (False, True):
        journal = open_journal() if reopen else journal
        assert [(r.offset, r.value) for r in everything(journal)] == [(0, b"before"), (1, b"after")]


WRITER = """
import sys, threading
from pathlib import Path
from telemetry.feeds.journal import Journal
journal = Journal(Path(sys.argv[1]), segment_bytes=20_000)
journal.open()
def write(writer):
    for number in range(10**9):
        text = f"{writer} {number}"
        journal.accept(text.encode() + b" " + b"x" * 500)
        sys.stdout.write(text + "\\n")
        sys.stdout.flush()
for writer in range(4):
    threading.Thread(target=write, args=(writer,)).start()
"""


def test_what_was_acknowledged_survives_kill_9(open_journal: OpenJournal, tmp_path: Path) -> None:
    """A process is killed in the midst of writing, several times: every record it reported is there, once."""
    acknowledged: list[str] = []
    chance = random.Random(7)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(chance.randint(50, 400))]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        acknowledged = [line.strip() for line in lines if line.endswith("\n")]
        journal = open_journal()
        got = [record.value.rpartition(b" ")[0].decode() for record in everything(journal)]
        assert len(got) == len(set(got))
        assert set(acknowledged) <= set(got)
        assert len(got) <= len(acknowledged) + 4
        journal.commit({0: journal.assigned()[0] + len(got)})
        journal.close()


def test_one_process_at_a_time(open_journal: OpenJournal, tmp_path: Path) -> None:
    """A second opener is told so in one line."""
    open_journal()
    with pytest.raises(ConfigurationError, match=r"journal is used by another process: stop it, or choose another"):
        Journal(tmp_path).open()


def test_unusable_directory(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "journal").write_text("")
    with pytest.raises(ConfigurationError, match="choose another data directory"):
        Journal(tmp_path).open()


def test_rejected_records_are_kept_with_their_reason(open_journal: OpenJournal, tmp_path: Path) -> None:
    """The bytes in one file, what is known about them in another, both private."""
    journal = open_journal(now_ms=lambda: 99)
    journal.accept(b"\xff\xff")
    (record,) = everything(journal)
    journal.reject(record, "truncated at byte 2")
    (payload,) = (tmp_path / "dead-letters").glob("*.otlp")
    note = json.loads(payload.with_suffix(".json").read_text())
    assert payload.read_bytes() == b"\xff\xff"
    assert note == {"partition": 0, "offset": 0, "arrival_ms": 99, "bytes": 2, "reason": "truncated at byte 2"}
    assert payload.stat().st_mode & 0o077 == 0
    assert journal.dead_letters.put == 1


def test_dead_letters_are_bounded(tmp_path: Path) -> None:
    """The oldest go first and are counted; one larger than the bound leaves its reason alone."""
    letters = DeadLetters(tmp_path, max_bytes=2000)
    for offset in range(10):
        letters.add(Record(0, offset, 0, b"x" * 300), "bad")
        os.utime(tmp_path / f"{offset:020d}.json", (offset, offset))
    kept = sorted(int(path.stem) for path in tmp_path.glob("*.otlp"))
    assert kept == list(range(10 - len(kept), 10))
    assert (letters.put, letters.removed) == (10, 10 - len(kept))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    letters.add(Record(0, 10, 0, b"x" * 5000), "huge")
    assert json.loads((tmp_path / f"{10:020d}.json").read_text())["bytes"] == 5000
    assert (tmp_path / f"{10:020d}.otlp").read_bytes() == b""
