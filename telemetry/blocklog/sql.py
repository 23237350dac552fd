"""The log and its derived tables on a :class:`telemetry.store.base.Store`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from telemetry.blocklog.model import Block, Derived, Head, Log, drive_token, log_token
from telemetry.store.base import Parameter, Store

if TYPE_CHECKING:
    import pyarrow as pa

_HERE = "topic = {topic:String} AND partition = {partition:UInt32}"
_BLOCK = f"{_HERE} AND block = {{number:UInt64}}"
_FRESH_DAYS = 1
"""Beyond it a token counts as forgotten without counting blocks: rows of the log may have expired."""


class SqlLogTables:
    """:class:`telemetry.blocklog.protocol.LogTables` of one topic."""

    def __init__(self, store: Store, log: Log, topic: str) -> None:
        """Speak to ``store``, which has the schema."""
        self._store = store
        self._log = log
        self._topic = topic

    def head(self, partition: int) -> Head:
        """As :meth:`telemetry.blocklog.protocol.LogTables.head`."""
        log = self._log
        fed = ", ".join(f"countIf({each.has}) > 0" for each in log.derived)
        rows = self._store.query(
            f"SELECT block, any(writer), toUnixTimestamp64Milli(max(stored)), {fed} FROM {log.table} "  # noqa: S608 - our names
            f"WHERE {_HERE} AND block = (SELECT block FROM {log.table} WHERE {_HERE} ORDER BY block DESC LIMIT 1) "
            "GROUP BY block",
            self._place(partition),
        ).rows
        if not rows:
            return Head()
        number, writer, stored_ms, *has = rows[0]
        feeds = frozenset(each.table for each, there in zip(log.derived, has, strict=True) if there)
        return Head(int(number), str(writer), feeds, int(stored_ms))

    def write(self, block: Block, after: str) -> None:
        """As :meth:`telemetry.blocklog.protocol.LogTables.write`."""
        guard, parameters = self._guard(block.partition, block.number - 1, after)
        token = log_token(self._topic, block.partition, block.number, after)
        self._store.insert(self._log.table, block.columns, block.arrow, token=token, where=guard, parameters=parameters)

    def fence(self, partition: int, number: int, writer: str, after: Head) -> None:
        """As :meth:`telemetry.blocklog.protocol.LogTables.fence`."""
        guard, parameters = self._guard(partition, after.number, after.writer)
        self._store.insert_select(
            self._log.table,
            ("kind", "topic", "partition", "block", "writer"),
            f"SELECT 'fence', {{topic:String}}, {{partition:UInt32}}, {{fence:UInt64}}, {{me:String}} WHERE {guard}",
            token=log_token(self._topic, partition, number, after.writer),
            parameters={**parameters, "fence": number, "me": writer},
        )

    def writer_of(self, partition: int, number: int) -> str:
        """As :meth:`telemetry.blocklog.protocol.LogTables.writer_of`."""
        rows = self._store.query(
            f"SELECT any(writer) FROM {self._log.table} WHERE {_BLOCK} GROUP BY block",  # noqa: S608 - our names
            {**self._place(partition), "number": number},
        ).rows
        return str(rows[0][0]) if rows else ""

    def drive(self, partition: int, head: Head, table: str, *, again: bool) -> None:
        """As :meth:`telemetry.blocklog.protocol.LogTables.drive`."""
        (derived,) = self._log.of(frozenset({table}))
        log = self._log.table
        parameters = {**self._place(partition), "number": head.number, "writer": head.writer}
        guard = f"(SELECT max(block) FROM {log} WHERE {_HERE} AND block >= {{number:UInt64}}) = {{number:UInt64}}"  # noqa: S608
        grouped = f" GROUP BY {derived.group} HAVING {derived.having}" if derived.group else ""
        if again:
            guard += f" AND ({self._remembered()} OR NOT {self._there(derived)})"
            parameters["stored"] = head.stored_ms
        self._store.insert_select(
            table,
            derived.columns,
            f"SELECT {', '.join(derived.values)} FROM {log} "  # noqa: S608 - our names
            f"WHERE {_BLOCK} AND writer = {{writer:String}} AND ({derived.rows or derived.has}) AND {guard}{grouped}",
            token=drive_token(self._topic, partition, head.number, head.writer, table),
            parameters=parameters,
        )

    def undecided(self, partition: int, head: Head) -> bool:
        """As :meth:`telemetry.blocklog.protocol.LogTables.undecided`."""
        parameters: dict[str, Parameter] = {
            **self._place(partition),
            "number": head.number,
            "writer": head.writer,
            "stored": head.stored_ms,
        }
        there = " OR ".join(self._there(each) for each in self._log.of(head.feeds)) or "0"
        return bool(self._store.query(f"SELECT NOT {self._remembered()} AND ({there})", parameters).scalar())

    def _guard(self, partition: int, number: int, writer: str) -> tuple[str, dict[str, Parameter]]:
        """The condition that the head is (``number``, ``writer``) now; number 0 says that there is none."""
        parameters = {**self._place(partition), "head": number, "head_writer": writer}
        return (
            f"(SELECT (max(block), argMax(writer, block)) FROM {self._log.table} "  # noqa: S608 - our names
            f"WHERE {_HERE} AND block >= {{head:UInt64}}) = ({{head:UInt64}}, {{head_writer:String}})",
            parameters,
        )

    def _remembered(self) -> str:
        """The condition that the derived tables still know the tokens of a block that was stored at ``stored``."""
        limit = self._log.stale_blocks
        return (
            f"(fromUnixTimestamp64Milli({{stored:Int64}}) > now64(3) - INTERVAL {_FRESH_DAYS} DAY AND "  # noqa: S608 - ours
            f"(SELECT count() FROM (SELECT DISTINCT topic, partition, block FROM {self._log.table} "
            f"WHERE stored >= fromUnixTimestamp64Milli({{stored:Int64}}) LIMIT {limit + 1})) <= {limit})"
        )

    def _there(self, derived: Derived) -> str:
        """The condition that a derived table has rows of a block."""
        return (
            f"((SELECT count() FROM {derived.table} WHERE {_BLOCK} "  # noqa: S608 - our names
            "AND writer = {writer:String}) > 0)"
        )

    def _place(self, partition: int) -> dict[str, Parameter]:
        return {"topic": self._topic, "partition": partition}


def emitted(store: Store, log: Log, *, topic: str, partition: int, committed: int, since_ms: int) -> "pa.Table":
    """What a partition has emitted that may come again, one row a trace.

    A trace may come again if a record at or past ``committed`` contributed to it, or if it was stored after ``since_ms``. To be
    read after the take-over: then nothing is added any more.

    Returns:
        ``trace_id`` (16 bytes); ``last_offset``, of the last record that contributed, late spans included; ``block``, which has
        its newest version, 0 where only late spans of it were found.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    return store.arrow(
        f"SELECT id AS trace_id, last AS last_offset, newest AS block FROM (SELECT trace_id AS id, max(last_offset) AS last, "  # noqa: S608
        f"argMaxIf(block, version, kind = 'path' AND sign = 1) AS newest FROM {log.table} "
        f"WHERE {_HERE} AND kind IN ('path', 'late') AND "
        "(last_offset >= {committed:UInt64} OR stored > fromUnixTimestamp64Milli({since:Int64})) GROUP BY trace_id)",
        {"topic": topic, "partition": partition, "committed": committed, "since": max(0, since_ms)},
    )


def originals(
    store: Store, log: Log, *, topic: str, partition: int, blocks: Sequence[int], trace_ids: Sequence[bytes]
) -> "pa.Table":
    """The newest version of paths, as the log has it: to restate them.

    Args:
        store: with the schema.
        log: the log of request paths.
        topic: the feed's topic.
        partition: its partition.
        blocks: the blocks in which they are (see :func:`emitted`).
        trace_ids: which ones.

    Returns:
        All columns of the log's rows, those that have no newer version, in the log's own types.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    return store.arrow(
        f"SELECT * FROM {log.table} WHERE {_HERE} AND block IN {{blocks:Array(UInt64)}} "  # noqa: S608 - our names
        "AND kind = 'path' AND sign = 1 AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16)) "
        "ORDER BY version DESC LIMIT 1 BY trace_id",
        {
            "topic": topic,
            "partition": partition,
            "blocks": sorted(set(blocks)),
            "ids": [trace.hex() for trace in trace_ids],
        },
    )


def whereabouts(store: Store, log: Log, *, topic: str, partition: int, trace_ids: Sequence[bytes]) -> "pa.Table":
    """Which of some traces a partition has emitted, whenever that was. Columns and errors as of :func:`emitted`."""
    return store.arrow(
        f"SELECT trace_id, max(last_offset) AS last_offset, "  # noqa: S608 - our names
        f"argMaxIf(block, version, kind = 'path' AND sign = 1) AS block FROM {log.table} "
        f"WHERE {_HERE} AND kind IN ('path', 'late') "
        "AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16)) GROUP BY trace_id",
        {"topic": topic, "partition": partition, "ids": [trace.hex() for trace in trace_ids]},
    )


def resume_offset(store: Store, log: Log, *, topic: str, partition: int, committed: int) -> int:
    """Where to go on reading a partition whose records each lie wholly in one block: metrics. To be read after the take-over.

    Records from the committed offset up to this one are stored: a crash came between storing and committing. Where the log's
    rows have expired, the derived table is asked.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    (derived,) = log.derived
    place: dict[str, Parameter] = {"topic": topic, "partition": partition}
    # Offsets grow from block to block: of the log, which is ordered by block, its end is read alone.
    newest = f"(SELECT block FROM {log.table} WHERE {_HERE} AND {derived.has} ORDER BY block DESC LIMIT 1)"  # noqa: S608
    for table, where in ((log.table, f"{_HERE} AND {derived.has} AND block = {newest}"), (derived.table, _HERE)):
        asked = f"SELECT max(last_offset) FROM {table} WHERE {where} HAVING count() > 0"  # noqa: S608 - our names
        for (last,) in store.query(asked, place).rows:
            return max(committed, int(last) + 1)
    return committed
