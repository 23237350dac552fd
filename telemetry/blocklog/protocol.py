"""The protocol (docs/exactly-once.md): append with compare-and-set, drive, read back; and how a partition is taken over."""

import logging
import uuid
from collections.abc import Callable
from typing import Protocol

from telemetry.blocklog.model import Block, Head, Lease, number_after
from telemetry.errors import FencedError, UnavailableError

_log = logging.getLogger(__name__)


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

    def writer_of(self, partition: int, number: int) -> str:
        """Who wrote that block; empty if nobody did."""
        ...

    def drive(self, partition: int, head: Head, table: str, *, again: bool) -> None:
        """Make the rows of ``table`` of the block ``head`` if it is the partition's head then; else do nothing.

        Twice is once, as long as the table remembers the token. ``again``: this may have been done before; so do nothing if
        that can be so long ago that the table may have forgotten it and its rows are there.
        """
        ...

    def undecided(self, partition: int, head: Head) -> bool:
        """Whether ``drive`` with ``again`` would do nothing for a derived table that has rows of the block ``head``."""
        ...


class BlockLog:
    """Appends blocks, and takes partitions over. Safe to use from several threads, each with partitions of its own.

    Attributes:
        stale_takeovers: how often a block's drive could not be repeated, because deduplication may have forgotten it, and was
            taken as done since its rows were there. Roll-ups may lack it: ``edgepath verify`` tells.
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
        writer = self._tables.writer_of(block.partition, block.number)
        if writer != block.writer:
            self._tried.pop(block.writer, None)
            raise FencedError(
                f"partition {block.partition} was taken over by another writer ({writer or 'unknown'}); "
                f"block {block.number} of {block.writer} is given up"
            )
        if block.feeds:
            head = self._tables.head(block.partition) if again else None
            if head is None:
                head = Head(block.number, block.writer, block.feeds)
            elif head.number != block.number:
                return  # a successor is there: it drove this block before it put its own
            self._drive(block.partition, head, again=again)

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
            there = self._tables.writer_of(partition, number)
            if there == writer:
                return Lease(partition, writer, number + 1)
            if not there:
                turn += 1  # a spent token, or the head has moved on: the next look tells
        raise UnavailableError(
            f"partition {partition} cannot be taken over: {self._tries} times somebody else was faster"
        )

    def _drive(self, partition: int, head: Head, *, again: bool) -> None:
        if again and head.feeds and self._tables.undecided(partition, head):
            self.stale_takeovers += 1
            if self.stale_takeovers == 1:
                _log.warning(
                    "block %d of partition %d was stored long ago and cannot be driven again where its rows are there; "
                    "`edgepath verify` tells whether a roll-up misses it",
                    head.number,
                    partition,
                )
        for table in sorted(head.feeds):
            self._tables.drive(partition, head, table, again=again)
