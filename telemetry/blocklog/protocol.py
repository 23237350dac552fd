"""The protocol (docs/exactly-once.md): append with compare-and-set, drive, read back; and how a partition is taken over."""

import logging
import uuid
from collections.abc import Callable
from typing import Protocol

from telemetry.blocklog.model import Block, Head, Lease, Logged, Missing, number_after
from telemetry.errors import FencedError, UnavailableError

_log = logging.getLogger(__name__)
_TURNS = 4
"""How often a part is put where it is missing: each time but the last ClickHouse was killed at the same place."""


class LogTables(Protocol):
    """The log and its derived tables, of one topic. Safe to use from several threads.

    Every method raises StoreError if ClickHouse refuses, UnavailableError if it does not answer; what it was to write may then
    have landed, or may still land within the life of a statement.
    """

    def head(self, partition: int) -> Head:
        """The partition's last block."""
        ...

    def write(self, block: Block, after: str) -> None:
        """Put a block into the log if its head is then (``block.number`` - 1, ``after``); else do nothing."""
        ...

    def fence(self, partition: int, number: int, writer: str, after: Head) -> None:
        """Put a fence into the log as block ``number`` if its head is then ``after``; else do nothing."""
        ...

    def logged(self, partition: int, number: int) -> Logged:
        """Who wrote that block, and whether a drive of it up to now may have come to nothing."""
        ...

    def drive(self, partition: int, head: Head, table: str, *, again: bool) -> None:
        """Make the rows of ``table`` of the block ``head`` if it is the partition's head then; else do nothing.

        Twice is once, as long as the table remembers the token. So do nothing, either, if it was stored more than half a minute
        ago. ``again``: this may have been done before; do nothing only if that can be so long ago that the tables may have
        forgotten it and something of the block is there.
        """
        ...

    def missing(self, partition: int, head: Head) -> Missing:
        """Where the block ``head`` is not, after it was driven ``again``: ClickHouse was killed when it knew the token alone.

        Not looked for if ClickHouse has run since before the block was stored, and remembers all tokens.
        """
        ...

    def mend(self, partition: int, head: Head, part: str, turn: int) -> None:
        """Put the block ``head`` where ``missing`` says, if it is the partition's head then and is not there; else do nothing.

        Twice with the same ``turn`` is once. If it is missing afterwards, ClickHouse was killed at the same place again.
        """
        ...


class BlockLog:
    """Appends blocks, and takes partitions over. Safe to use from several threads, each with partitions of its own.

    Attributes:
        stale_takeovers: how often a block was not in all of its tables, so long after it was stored that it could not be made
            whole. ``edgepath verify`` tells which ones lack it.
        mended_parts: how many parts of blocks were put where ClickHouse had lost them when it was killed.
    """

    def __init__(
        self,
        tables: LogTables,
        *,
        new_writer: Callable[[], str] = lambda: uuid.uuid4().hex[:16],
        tries: int = 16,
    ) -> None:
        """Speak to ``tables``.

        Args:
            tables: of one topic.
            new_writer: makes a name that no lease ever had.
            tries: how often a take-over begins again because the one who has the partition was faster.
        """
        self._tables = tables
        self._new_writer = new_writer
        self._tries = tries
        self._tried: dict[str, int] = {}  # by writer: a send of an old lease may still be under way in another thread
        self.stale_takeovers = 0
        self.mended_parts = 0

    def append(self, block: Block) -> None:
        """Store a block; on an error, come again with the same one before any other of its partition.

        Raises:
            FencedError: somebody else has taken the partition over. The block is not stored and never will be; if its writer
                slept for longer than the log keeps its rows, nobody can say. Forget the partition, and start over.
            StoreError, UnavailableError: it may be stored or not; come again.
        """
        again = self._tried.get(block.writer) == block.number
        self._tried[block.writer] = block.number
        self._tables.write(block, block.writer)
        if not again:
            # The block has no rows of this writer if it is somebody else's: then this does nothing.
            self._drive(block.partition, Head(block.number, block.writer, block.feeds), again=False)
        # Last, so that it tells of all that was up to the end of the drive: this process may have slept; a successor's drive of
        # the same block may have been killed between token and rows, and this one have been dropped for it.
        logged = self._tables.logged(block.partition, block.number)
        if logged.writer != block.writer:
            self._tried.pop(block.writer, None)
            raise FencedError(
                f"partition {block.partition} was taken over by another writer ({logged.writer or 'unknown'}); "
                f"block {block.number} of {block.writer} is given up"
            )
        if block.feeds and (again or logged.doubtful):
            head = self._tables.head(block.partition)
            if head.number == block.number:  # else a successor is there: it drove this block before it put its own
                self._drive(block.partition, head, again=True)

    def take_over(self, partition: int) -> Lease:
        """Become the partition's writer: what is in flight of anybody else comes to nothing from now on.

        Raises:
            StoreError, UnavailableError: nothing has changed that a next try would not mend.
        """
        writer = self._new_writer()
        turn, before = 0, Head()
        for _ in range(self._tries):
            head = self._tables.head(partition)
            turn = turn if head == before else 0
            before = head
            self._drive(partition, head, again=True)
            number = number_after(head.number, turn)
            self._tables.fence(partition, number, writer, head)
            there = self._tables.logged(partition, number).writer
            if there == writer:
                return Lease(partition, writer, number + 1)
            if not there:
                turn += 1  # a spent token, or the head has moved on: the next look tells
        raise UnavailableError(
            f"partition {partition} cannot be taken over: {self._tries} times somebody else was faster"
        )

    def _drive(self, partition: int, head: Head, *, again: bool) -> None:
        for table in sorted(head.feeds):
            self._tables.drive(partition, head, table, again=again)
        if again and head.feeds:
            self._make_whole(partition, head)

    def _make_whole(self, partition: int, head: Head) -> None:
        """Whoever is here has driven the block again: what any table was to take with the drive's token, it has taken."""
        for turn in range(_TURNS + 1):
            missing = self._tables.missing(partition, head)
            if not missing.parts:
                return
            place = (head.number, partition, ", ".join(sorted(missing.parts)))
            if missing.too_old or turn == _TURNS:
                self.stale_takeovers += 1
                _log.warning(
                    "block %d of partition %d is not in %s and cannot be put there any more; `edgepath verify` tells what is "
                    "lacking",
                    *place,
                )
                return
            _log.warning("ClickHouse was killed while it stored block %d of partition %d; it is put into %s", *place)
            for part in sorted(missing.parts):
                self._tables.mend(partition, head, part, turn)
                self.mended_parts += 1
