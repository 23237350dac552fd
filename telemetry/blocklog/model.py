"""What the protocol speaks about: blocks, heads, leases, tokens, and which tables follow from a log. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telemetry.store.base import ArrowFile

NUMBERS_PER_TABLE_PARTITION: Final = 10_000
"""Tables that take blocks are partitioned by ``intDiv(block, 10000)`` (the migrations say so, too)."""


@dataclass(frozen=True, slots=True)
class Block:
    """What a partition emits at once: frozen, to be appended as it is, as often as it takes.

    Attributes:
        partition: the partition of the feed.
        number: its place in the partition's sequence.
        writer: who made it: the lease's writer; stands in every row, too.
        columns: columns of the log table, in the order of ``arrow``'s schema.
        arrow: the rows, as an Arrow IPC file.
        rows: how many.
        feeds: the derived tables that it has rows for.
    """

    partition: int
    number: int
    writer: str
    columns: tuple[str, ...]
    arrow: ArrowFile
    rows: int
    feeds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of a partition in the log.

    Attributes:
        number: 0 if there is none.
        writer: empty if there is none.
        feeds: the derived tables that it has rows for; none if it is a fence.
        stored_ms: when it was stored, by ClickHouse's clock.
    """

    number: int = 0
    writer: str = ""
    feeds: frozenset[str] = frozenset()
    stored_ms: int = 0


@dataclass(frozen=True, slots=True)
class Logged:
    """A block as the log has it.

    Attributes:
        writer: empty if nobody wrote it.
        doubtful: a drive of it may have come to nothing: ClickHouse was started since it was stored, or that is too long ago.
    """

    writer: str = ""
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to append to a partition, until somebody else takes it over.

    Attributes:
        partition: the partition.
        writer: a name that no other lease ever had; goes into every row of every block.
        next_number: the number of the next block.
    """

    partition: int
    writer: str
    next_number: int


@dataclass(frozen=True, slots=True)
class RollUp:
    """A table that views on a feed fill, with a mark of each block in its column ``blocks``.

    Attributes:
        table: its name.
        key: columns of its key that say where a mark is looked for; the last is the time, and there is ``environment``, too.
    """

    table: str
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A table that follows from a log.

    Attributes:
        table: its name.
        has: SQL condition on rows of the log: a block with such a row feeds the table.
        columns: its columns that are filled.
        values: one SQL expression over the log's columns for each of them.
        rows: SQL condition: the rows of such a block that it is made of; as ``has`` if left out.
        group: columns of the log that rows of one block are grouped by; empty if each row makes one.
        having: SQL condition on groups.
        stored: the column that says when the rows were logged.
        feed: a table that keeps nothing, on which a view into ``table`` and those into the roll-ups hang; empty if rows are
            inserted into ``table`` itself.
        roll_ups: what else is fed over it.
    """

    table: str
    has: str
    columns: tuple[str, ...]
    values: tuple[str, ...]
    rows: str = ""
    group: str = ""
    having: str = "1"
    stored: str = "stored"
    feed: str = ""
    roll_ups: tuple[RollUp, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """Where a block should be and is not.

    Attributes:
        parts: names: of tables, and of views into roll-ups.
        too_old: it cannot be put there: what was on its way when it was stored may have come, and be forgotten.
    """

    parts: frozenset[str] = frozenset()
    too_old: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """A log table and what follows from it.

    Attributes:
        table: its name. It has the columns ``kind``, ``topic``, ``partition``, ``block``, ``writer`` and ``stored``.
        derived: the tables that are made of it, in the order in which they are fed.
        stale_blocks: how many later blocks a deduplication window is trusted to remember a token for.
        lasting: SQL condition on rows of the log and of roll-ups: rows that nobody deletes.
    """

    table: str
    derived: tuple[Derived, ...]
    stale_blocks: int = 10_000
    lasting: str = "1"

    def of(self, feeds: frozenset[str]) -> Sequence[Derived]:
        """The derived tables with these names, in order."""
        return [each for each in self.derived if each.table in feeds]


def log_token(topic: str, partition: int, number: int, after: str) -> str:
    """The token of block ``number`` in the log: whoever writes the successor of a block uses the same one.

    ``after`` is the writer of the block before: names of writers are used once, so the token is, too, even where numbers begin
    anew because the log's rows have expired.
    """
    return f"{topic}/{partition}/{number}/after {after}" if after else f"{topic}/{partition}/{number}"


def drive_token(topic: str, partition: int, number: int, writer: str, table: str) -> str:
    """The token of a block in a derived table: whoever drives it uses the same one."""
    return f"{topic}/{partition}/{number}/{writer}/{table}"


def mend_token(topic: str, partition: int, number: int, writer: str, part: str, turn: int) -> str:
    """The token of a part of a block that is put where it is missing; each turn has its own."""
    return f"{topic}/{partition}/{number}/{writer}/{part}/mend {turn}"


def number_after(head: int, turn: int) -> int:
    """The number that turn ``turn`` of a take-over tries for its fence after the block ``head``.

    The next one; if its token turns out to be spent while nobody has that block (numbers began anew after the log's rows had
    expired), the first number of the next table partition, where tokens are remembered apart, and so on. Everybody tries the
    same ones in the same order.
    """
    if turn == 0:
        return head + 1
    return (head // NUMBERS_PER_TABLE_PARTITION + turn) * NUMBERS_PER_TABLE_PARTITION
