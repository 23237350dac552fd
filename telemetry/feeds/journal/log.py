"""The log under the journal: appended to by many threads, durable before anybody is told so."""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from telemetry.errors import ConfigurationError, EdgepathError, MalformedError, OverloadedError, UnavailableError
from telemetry.feeds.journal.frames import MAGIC, MAX_PAYLOAD, OVERHEAD, pack
from telemetry.feeds.journal.reader import Extent
from telemetry.feeds.journal.segments import Segment, create, existing, find_end, translated

_log: Final = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 1.0


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


class Log:
    """Segments in a directory, and the threads that append to them.

    Args:
        directory: where they lie.
        partition: the number that records carry.
        max_bytes: the bound on all segments together.
        segment_bytes: about how large one segment grows.
        fsync: when to force to the disk.
        fsync_seconds: how often, with :attr:`Fsync.INTERVAL`.
        now_ms: the wall clock for arrival times, in milliseconds since the epoch.
        monotonic: a clock in seconds, for intervals.
    """

    def __init__(
        self,
        directory: Path,
        partition: int,
        *,
        max_bytes: int,
        segment_bytes: int,
        fsync: Fsync,
        fsync_seconds: float,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._partition = partition
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max_bytes // 4)
        self._fsync = fsync
        self._fsync_seconds = fsync_seconds
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)  # senders wait here for their turn or their result
        self._arrived = threading.Condition(self._lock)  # the reader waits here for records
        self._segments: list[Segment] = []
        self._queue: list[_Waiting] = []
        self._queued_bytes = 0
        self._writing = False
        self._end = 0
        self._synced_at = 0.0
        self._unsynced = False
        self._lock_fd: int | None = None

    @property
    def end(self) -> int:
        """The offset of the next record; all below are durable."""
        return self._end

    @property
    def is_open(self) -> bool:
        """Whether it may be used."""
        return self._lock_fd is not None

    def size(self) -> int:
        """Bytes on disk."""
        with self._lock:
            return sum(segment.size for segment in self._segments)

    # --- life -----------------------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Make the directory this process's own.

        Raises:
            ConfigurationError: another process has it.
            OSError: it cannot be made or written.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigurationError(
                f"{self._directory} is used by another process: stop it, or choose another data directory"
            ) from error
        self._lock_fd = fd

    def recover(self, committed: int) -> bytes:
        """Find the segments, and cut off what a crash left half written.

        Args:
            committed: no record below it is needed, and no new one may have an offset below it.

        Returns:
            What was cut off, for a person to look at.

        Raises:
            OSError: the disk fails.
        """
        segments = existing(self._directory)
        end = 0
        torn = b""
        if segments:
            last = segments[-1]
            size, end = find_end(last, self._partition)
            if size < last.size:
                torn = last.read(size, last.size) if size else b""
                _log.warning("the journal ends with %d bytes that are no whole record: cut off", last.size - size)
            last.size = size
            last.cut()
            last.sync()
            if size < len(MAGIC):
                segments.pop().delete()
        self._end = max(end, committed)
        if not segments or self._end > end:
            segments.append(create(self._directory, self._end))
        self._segments = segments
        return torn

    def close(self) -> None:
        """Force to the disk what is not yet there, and let go. Who waits in :meth:`append` gets an answer first."""
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

    # --- writers --------------------------------------------------------------------------------------------------------

    def append(self, payload: bytes) -> None:
        """Append one record; on return it is durable. Safe to use from many threads, and fastest so.

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
        if not self.is_open:
            raise UnavailableError("the journal is closed")
        total = sum(segment.size for segment in self._segments) + self._queued_bytes + size
        if total > self._max_bytes:
            raise OverloadedError(
                f"{self._directory} is full ({self._max_bytes} bytes wait to be stored); come again", _RETRY_SECONDS
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

    # --- the reader -----------------------------------------------------------------------------------------------------

    def wait_beyond(self, offset: int, timeout_seconds: float) -> bool:
        """Wait until there is a record at ``offset``; False when none came in time, or the log was closed."""
        deadline = self._monotonic() + timeout_seconds
        with self._lock:
            while self._end <= offset and self.is_open:
                left = deadline - self._monotonic()
                if left <= 0 or not self._arrived.wait(left):
                    break
            return self._end > offset and self.is_open

    def extents(self) -> list[Extent]:
        """All segments, each with the part of it that counts now."""
        with self._lock:
            following = [*(segment.base for segment in self._segments[1:]), self._end]
            return [
                Extent(segment, segment.size, offset) for segment, offset in zip(self._segments, following, strict=True)
            ]

    def drop_below(self, offset: int) -> None:
        """Remove the segments that have only records below ``offset``; never the last one, whose name keeps the count."""
        with self._lock:
            while len(self._segments) > 1 and self._segments[1].base <= offset:
                self._segments.pop(0).delete()

    def sync_when_due(self) -> None:
        """With :attr:`Fsync.INTERVAL`, when nobody writes: the last writes must not wait for the next one."""
        with self._lock:
            if self._unsynced and not self._writing and self._monotonic() >= self._synced_at + self._fsync_seconds:
                self._sync(self._segments[-1])


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
