"""The journal: ``Sink`` for the receiver's threads, ``Feed`` for the pipeline's one.

What :meth:`Journal.accept` returned for outlives ``kill -9`` and, with :attr:`Fsync.ALWAYS`, a power cut.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from telemetry.errors import ConfigurationError, UnavailableError
from telemetry.feeds.base import Record, RecordBatch, batches_of
from telemetry.feeds.journal.dead_letters import DeadLetters
from telemetry.feeds.journal.log import Fsync, Log
from telemetry.feeds.journal.reader import Reader
from telemetry.feeds.journal.segments import replace, translated

PARTITION: Final = 0
_log: Final = logging.getLogger(__name__)


class Journal:
    """A durable queue of OTLP requests on disk.

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
        self._log = Log(
            self._directory,
            PARTITION,
            max_bytes=max_bytes,
            segment_bytes=segment_bytes,
            fsync=fsync,
            fsync_seconds=fsync_seconds,
            now_ms=now_ms,
            monotonic=monotonic,
        )
        self._reader = Reader(PARTITION)
        self._committed = 0
        self._rereads = self._is_gone = False

    def open(self) -> None:
        """Take the directory, cut off what a crash left half written, and find the place to go on from.

        Raises:
            ConfigurationError: another process has it, or it cannot be written.
            UnavailableError, OverloadedError: the disk does not answer, or is full.
        """
        with self._translated("cannot open the journal"):
            self._log.take()
        try:
            self._recover()
        except BaseException:
            self._log.close()
            raise

    def _recover(self) -> None:
        with self._translated("cannot open the journal"):
            committed = self._read_committed()
            torn = self._log.recover(committed)
            extents = self._log.extents()
            self._committed = max(committed, extents[0].segment.base)
            self._reader.seek([extent.segment for extent in extents], self._committed)
            self._log.drop_below(self._committed)
        if torn:
            reason = "the journal's end: a write that a crash cut short (never acknowledged), or damage"
            self.dead_letters.add(Record(PARTITION, self._log.end, 0, torn), reason)

    def close(self) -> None:
        """Force to the disk what is not yet there, and let go. To be called when nobody polls any more."""
        self._log.close()

    # --- the receiver's side --------------------------------------------------------------------------------------------

    def accept(self, payload: bytes) -> None:
        """Append one request. Safe to use from many threads, and fastest so.

        Raises:
            OverloadedError: the journal or the disk is full. Nothing of the request is kept.
            UnavailableError: the journal is closed, or the disk fails.
            MalformedError: the request alone is larger than the journal may be.
        """
        self._log.append(payload)

    # --- the pipeline's side --------------------------------------------------------------------------------------------

    def poll(self, timeout_seconds: float, max_bytes: int) -> Sequence[Record]:
        """The next records; the first time, from the committed offset on. See ``Feed.poll``.

        Raises:
            UnavailableError: the disk cannot be read.
        """
        if self._rereads or self._is_gone:
            self._come_or_go()
            return ()
        there = max_bytes > 0 and self._log.wait_beyond(self._reader.offset, timeout_seconds)
        with self._translated("the journal cannot be read"):
            self._log.sync_when_due()
            if not there:
                return ()
            records, damaged = self._reader.read(self._log.extents(), max_bytes)
        for record in damaged:
            _log.error("a part of the journal is damaged: %d bytes are put aside", len(record.value))
            self.reject(record, "damaged on disk: from here to the end of its file of the journal")
        return records

    def poll_batches(self, timeout_seconds: float, max_bytes: int) -> Sequence[RecordBatch]:
        """The same as columns. See ``Feed.poll_batches``.

        Raises:
            UnavailableError: the disk cannot be read.
        """
        return batches_of(self.poll(timeout_seconds, max_bytes))

    def assigned(self) -> Mapping[int, int]:
        """Partition 0 and its committed offset."""
        return {} if self._is_gone else {PARTITION: self._committed}

    def reread(self, partition: int) -> None:
        """Go back to the committed offset. See ``Feed.reread``."""
        self._rereads = partition == PARTITION

    def _come_or_go(self) -> None:
        if self._rereads:
            self._rereads, self._is_gone = False, True
            return
        with self._translated("the journal cannot be read"):
            self._reader.seek([extent.segment for extent in self._log.extents()], self._committed)
        self._is_gone = False

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
        if not self._log.is_open:
            raise UnavailableError("the journal is closed")
        with self._translated("the journal cannot note what is stored"):
            replace(self._directory / "committed", f"{offset}\n".encode())
            self._committed = offset
            self._log.drop_below(offset)

    def reject(self, record: Record, reason: str) -> None:
        """Put a record that cannot be decoded into ``dead-letters/`` with the reason.

        Raises:
            OverloadedError, UnavailableError: it could not be put there; try again.
        """
        self.dead_letters.add(record, reason)

    def lag(self) -> int:
        """Records that wait to be polled."""
        return self._log.end - self._reader.offset

    def lags(self) -> Mapping[int, int]:
        """The same, of the one partition."""
        return {PARTITION: self.lag()}

    @property
    def joined(self) -> bool:
        """True: there is nobody else."""
        return True

    def waiting_bytes(self) -> int:
        """How large the journal is on disk."""
        return self._log.size()

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

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise ConfigurationError(
                f"{self._directory} cannot be written: make it writable, or choose another data directory"
            ) from error
        except (NotADirectoryError, FileExistsError) as error:
            raise ConfigurationError(f"{self._directory} is not a directory: choose another data directory") from error
        except OSError as error:
            raise translated(error, self._directory, what) from error
