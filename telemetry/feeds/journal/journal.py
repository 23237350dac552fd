"""An append-only log on disk, between the receiver's threads and the pipeline's one.

What :meth:`Journal.accept` returned for outlives ``kill -9`` and, with :attr:`Fsync.ALWAYS`, a power cut.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from telemetry.errors import ConfigurationError, EdgepathError, MalformedError, OverloadedError, UnavailableError
from telemetry.feeds.base import Record
from telemetry.feeds.journal.dead_letters import DeadLetters
from telemetry.feeds.journal.frames import MAGIC, MAX_PAYLOAD, OVERHEAD, pack
from telemetry.feeds.journal.reader import Extent, Reader
from telemetry.feeds.journal.segments import Segment, create, existing, find_end, replace, translated

PARTITION: Final = 0
_log: Final = logging.getLogger(__name__)


class Fsync(StrEnum):
    """When what was written is forced to the disk."""

    ALWAYS = "always"
    """Before it is acknowledged; one fsync serves all who wait."""
    INTERVAL = "interval"
    """About once a second: a power cut may take the last second with it, a killed process nothing."""


@dataclass(eq=False)
class _Waiting:
    """A payload whose sender waits."""

    payload: bytes
    done: bool = False
    error: EdgepathError | None = None


class Journal:
    """A durable queue of OTLP requests: ``Sink`` for the receiver, ``Feed`` for the pipeline.

    Args:
        data: the data directory; the journal lies in ``journal/``, records that cannot be decoded in ``dead-letters/``.
        max_bytes: the bound on what waits on disk. Beyond it senders are told to come again.
        segment_bytes: about how large one file grows; at most a quarter of ``max_bytes``.
        fsync: when to force to the disk.
        fsync_seconds: how often, with :attr:`Fsync.INTERVAL`.
        now_ms: the wall clock, in milliseconds since the epoch, for arrival times.
        monotonic: a clock in seconds, for intervals.
    """

    def __init__(
        self,
        data: Path,
        *,
        max_bytes: int = 1024 * 1024 * 1024,
        segment_bytes: int = 64 * 1024 * 1024,
        fsync: Fsync = Fsync.ALWAYS,
        fsync_seconds: float = 1.0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = data / "journal"
        self.dead_letters = DeadLetters(data / "dead-letters")
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max_bytes // 4)
        self._fsync = fsync
        self._fsync_seconds = fsync_seconds
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)  # senders wait here for their turn or their result
        self._arrived = threading.Condition(self._lock)  # the pipeline waits here for records
        self._segments: list[Segment] = []
        self._queue: list[_Waiting] = []
        self._queued_bytes = 0
        self._writing = False
        self._end = 0  # the offset of the next record; all below are durable
        self._committed = 0
        self._reader = Reader(PARTITION)
        self._synced_at = 0.0
        self._unsynced = False
        self._lock_fd: int | None = None

    # --- life -----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the directory, cut off what a crash left half written, and find the place to go on from.

        Raises:
            ConfigurationError: another process has it, or it cannot be written.
            UnavailableError: the disk does not answer, or is full (OverloadedError).
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take()
            self._recover()
        except PermissionError as error:
            raise ConfigurationError(
                f"{self._directory} cannot be written: make it writable, or choose another data directory"
            ) from error
        except (NotADirectoryError, FileExistsError) as error:
            raise ConfigurationError(f"{self._directory} is not a directory: choose another data directory") from error
        except OSError as error:
            raise translated(error, self._directory, "cannot open the journal") from error

    def close(self) -> None:
        """Force to the disk what is not yet there, and let go. Who waits in :meth:`accept` gets an answer first."""
        with self._lock:
            lock_fd, self._lock_fd = self._lock_fd, None  # from here on nobody new is let in
            while self._writing or self._queue:
                self._written.wait()
            self._arrived.notify_all()
            if lock_fd is None:
                return
            if self._unsynced:
                self._segments[-1].sync()
            for segment in self._segments:
                segment.close()
            self._segments = []
        os.close(lock_fd)

    def _take(self) -> None:
        fd = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigurationError(
                f"{self._directory} is used by another process: stop it, or choose another data directory"
            ) from error
        self._lock_fd = fd

    def _recover(self) -> None:
        segments = existing(self._directory)
        end = 0
        if segments:
            last = segments[-1]
            size, end = find_end(last, PARTITION)
            if size < last.size:
                torn = last.read(size, last.size)
                _log.warning("the journal ends with %d bytes of a record that is not whole: cut off", len(torn))
                if size:  # else not even the file's head was written
                    reason = "the journal's end: a write that a crash cut short (never acknowledged), or damage"
                    self.dead_letters.add(Record(PARTITION, end, 0, torn), reason)
            last.size = size
            last.cut()
            last.sync()
            if size < len(MAGIC):
                segments.pop().delete()
        self._committed = max(self._read_committed(), segments[0].base if segments else 0)
        self._end = max(end, self._committed)  # an offset is never given out twice
        if not segments or self._end > end:
            segments.append(create(self._directory, self._end))
        self._segments = segments
        self._reader.seek(self._segments, self._committed)
        self._drop_committed()

    def _read_committed(self) -> int:
        path = self._directory / "committed"
        try:
            return int(path.read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise ConfigurationError(
                f"{path} is damaged: remove it, and everything that waits in the journal is read again"
            ) from error

    # --- the receiver's side --------------------------------------------------------------------------------------------

    def accept(self, payload: bytes) -> None:
        """Append one request. Safe to use from many threads, and fastest so.

        Raises:
            OverloadedError: the journal or the disk is full. Nothing of the request is kept.
            UnavailableError: the journal is closed, or the disk fails.
            MalformedError: the request alone is larger than the journal may be.
        """
        size = OVERHEAD + len(payload)
        if size > min(self._max_bytes // 2, MAX_PAYLOAD):
            raise MalformedError(f"a request of {len(payload)} bytes is too large for a journal of {self._max_bytes}")
        waiting = _Waiting(payload)
        with self._lock:
            self._admit(size)
            self._queue.append(waiting)
            self._queued_bytes += size
            while self._writing and not waiting.done:
                self._written.wait()
            if not waiting.done:
                # Nobody writes: this thread does, for all who wait.
                self._writing = True
                batch, self._queue, self._queued_bytes = self._queue, [], 0
        if not waiting.done:
            self._write(batch)
        if waiting.error is not None:
            raise waiting.error

    def _admit(self, size: int) -> None:
        if self._lock_fd is None:
            raise UnavailableError("the journal is closed")
        total = sum(segment.size for segment in self._segments) + self._queued_bytes + size
        if total > self._max_bytes:
            raise OverloadedError(
                f"{self._end - self._committed} requests wait in {self._directory}, which is full "
                f"({self._max_bytes} bytes); come again",
                retry_after=1.0,
            )

    def _write(self, batch: list[_Waiting]) -> None:
        """Append ``batch``, and let every sender in it go on. Run by one thread at a time, without the lock."""
        failure: EdgepathError | None = UnavailableError("the journal could not be written")
        try:
            failure = self._append([waiting.payload for waiting in batch])
        finally:
            with self._lock:
                self._writing = False
                for waiting in batch:
                    # Each sender raises an object of its own: a traceback grows on it in its own thread.
                    waiting.error = _copy(failure)
                    waiting.done = True
                self._written.notify_all()
                self._arrived.notify_all()

    def _append(self, payloads: Sequence[bytes]) -> EdgepathError | None:
        arrival_ms = self._now_ms()
        segment = self._segments[-1]
        try:
            if segment.size >= self._segment_bytes:
                segment = self._roll()
            data = b"".join(
                part
                for number, payload in enumerate(payloads)
                for part in pack(self._end + number, arrival_ms, payload)
            )
            segment.append(data)
            self._unsynced = True
            if self._fsync is Fsync.ALWAYS or self._monotonic() >= self._synced_at + self._fsync_seconds:
                self._sync(segment)
        except OSError as error:
            failure = translated(error, self._directory, "the journal cannot be written")
            failure.__cause__ = error
            self._abandon(segment)
            return failure
        with self._lock:
            segment.size += len(data)
            self._end += len(payloads)
        return None

    def _sync(self, segment: Segment) -> None:
        segment.sync()
        self._synced_at = self._monotonic()
        self._unsynced = False

    def _roll(self) -> Segment:
        if self._unsynced:
            self._sync(self._segments[-1])
        fresh = create(self._directory, self._end)
        with self._lock:
            self._segments.append(fresh)
        return fresh

    def _abandon(self, segment: Segment) -> None:
        """After a failed write: take its bytes away. If that fails too, ``size`` and the next segment's base hide them."""
        try:
            segment.cut()
        except OSError:
            _log.exception("bytes that were not acknowledged stay behind the end of %s", segment.path)
            try:
                self._roll()
            except OSError:
                _log.exception("a new segment could not be started either")

    # --- the pipeline's side --------------------------------------------------------------------------------------------

    def poll(self, timeout_seconds: float, max_bytes: int) -> Sequence[Record]:
        """The next records; the first time, from the committed offset on. With ``max_bytes`` 0 none (see ``Feed.poll``).

        With ``max_bytes`` 0 it gives nothing.

        Raises:
            UnavailableError: the disk cannot be read.
        """
        if max_bytes <= 0:
            return ()
        deadline = self._monotonic() + timeout_seconds
        with self._lock:
            while self._reader.offset >= self._end and self._lock_fd is not None:
                left = deadline - self._monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    break
            if self._lock_fd is None:
                return ()
            extents = [
                Extent(segment, segment.size, following)
                for segment, following in zip(
                    self._segments, [*(segment.base for segment in self._segments[1:]), self._end], strict=True
                )
            ]
        try:
            self._sync_when_due()
            if max_bytes <= 0:
                return ()
            records, damaged = self._reader.read(extents, max_bytes)
        except OSError as error:
            raise translated(error, self._directory, "the journal cannot be read") from error
        for record in damaged:
            _log.error("a part of the journal is damaged: %d bytes are put aside", len(record.value))
            self.reject(record, "damaged on disk: from here to the end of its file of the journal")
        return records

    def _sync_when_due(self) -> None:
        """With :attr:`Fsync.INTERVAL`, when nobody writes: the last writes must not wait for the next one."""
        with self._lock:
            if self._unsynced and not self._writing and self._monotonic() >= self._synced_at + self._fsync_seconds:
                self._sync(self._segments[-1])

    def assigned(self) -> Mapping[int, int]:
        """Partition 0 and its committed offset."""
        return {PARTITION: self._committed}

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Everything below ``offsets[0]`` is stored: a restart goes on there, and its files are removed.

        Raises:
            OverloadedError, UnavailableError: it could not be noted; the old place still stands.
        """
        offset = offsets.get(PARTITION, self._committed)
        if offset > self._reader.offset:
            raise ValueError(f"offset {offset} cannot be committed: records are read up to {self._reader.offset} only")
        if offset <= self._committed:
            return
        if self._lock_fd is None:
            raise UnavailableError("the journal is closed")
        try:
            replace(self._directory / "committed", f"{offset}\n".encode())
        except OSError as error:
            raise translated(error, self._directory, "the journal cannot note what is stored") from error
        self._committed = offset
        self._drop_committed()

    def _drop_committed(self) -> None:
        with self._lock:
            while len(self._segments) > 1 and self._segments[1].base <= self._committed:
                self._segments.pop(0).delete()

    def reject(self, record: Record, reason: str) -> None:
        """Put a record that cannot be decoded into ``dead-letters/`` with the reason.

        Raises:
            OverloadedError, UnavailableError: it could not be put there; try again.
        """
        self.dead_letters.add(record, reason)

    def lag(self) -> int:
        """Records that wait to be polled."""
        return self._end - self._reader.offset

    def waiting_bytes(self) -> int:
        """How large the journal is on disk."""
        with self._lock:
            return sum(segment.size for segment in self._segments)


def _copy(failure: EdgepathError | None) -> EdgepathError | None:
    match failure:
        case None:
            return None
        case OverloadedError():
            copy: EdgepathError = OverloadedError(str(failure), failure.retry_after)
        case _:
            copy = type(failure)(str(failure))
    copy.__cause__ = failure.__cause__
    return copy
