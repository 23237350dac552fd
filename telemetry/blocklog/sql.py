"""The log and its derived tables on a :class:`telemetry.store.base.Store`."""

# ruff: noqa: S608 - the parts of these statements are names of ours; values are parameters

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from telemetry.blocklog.model import Block, Head, Log, Logged, Missing, drive_token, log_token, mend_token
from telemetry.blocklog.parts import BLOCK, HERE, Part, parts_of, present, rows_of
from telemetry.store.base import Parameter, Store

if TYPE_CHECKING:
    import pyarrow as pa

_FRESH_DAYS = 1
"""Beyond it a token counts as forgotten without counting blocks: rows of the log may have expired."""
_KEPT_MS = 6 * 86_400_000
"""For so long every table keeps a block's rows; what is not there later may have expired."""
_FIRST_SECONDS = 30
"""So long after it was stored a block may be driven without asking whether somebody else has driven it long ago."""
_TRACES = "kind IN ('path', 'late')"
_LOOKED_AT = 100_000
"""So many rows tell when the traces before them had arrived."""
_NOW = "now64(3)"
_NOW_MS = f"toUnixTimestamp64Milli({_NOW})"
_STARTED_MS = f"{_NOW_MS} - uptime() * 1000"
_MARGIN_MS = 5_000
"""``uptime`` counts whole seconds, and clocks are set."""


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
            f"SELECT block, any(writer), toUnixTimestamp64Milli(max(stored)), {fed} FROM {log.table} "
            f"WHERE {HERE} AND block = (SELECT block FROM {log.table} WHERE {HERE} ORDER BY block DESC LIMIT 1) "
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

    def logged(self, partition: int, number: int) -> Logged:
        """As :meth:`telemetry.blocklog.protocol.LogTables.logged`."""
        rows = self._store.query(
            f"SELECT any(writer), toUnixTimestamp64Milli(min(stored)) AS since, since <= {_STARTED_MS} + {_MARGIN_MS} "
            f"OR since <= {_NOW_MS} - {_FIRST_SECONDS * 1000} FROM {self._log.table} WHERE {BLOCK} GROUP BY block",
            {**self._place(partition), "number": number},
        ).rows
        return Logged(str(rows[0][0]), bool(rows[0][2])) if rows else Logged()

    def drive(self, partition: int, head: Head, table: str, *, again: bool) -> None:
        """As :meth:`telemetry.blocklog.protocol.LogTables.drive`."""
        (derived,) = self._log.of(frozenset({table}))
        parameters = self._of(partition, head)
        guard = self._is_head()
        if again:
            # The second is asked only where it matters; and either in the statement: who knows when that arrives.
            fresh = self._store.query(f"SELECT {self._remembered()}", parameters).scalar()
            guard += f" AND {self._remembered()}" if fresh else f" AND NOT {present(self._log, derived)}"
        else:
            guard += f" AND stored > {_NOW} - INTERVAL {_FIRST_SECONDS} SECOND"
        self._store.insert_select(
            derived.feed or table,
            derived.columns,
            rows_of(self._log, derived, guard),
            token=drive_token(self._topic, partition, head.number, head.writer, table),
            parameters=parameters,
        )

    def missing(self, partition: int, head: Head) -> Missing:
        """As :meth:`telemetry.blocklog.protocol.LogTables.missing`."""
        parameters = self._of(partition, head)
        ((fresh, started, now),) = self._store.query(
            f"SELECT {self._remembered()}, {_STARTED_MS}, {_NOW_MS}", parameters
        ).rows
        if fresh and head.stored_ms > started + _MARGIN_MS:
            return Missing()
        if head.stored_ms < now - _KEPT_MS:
            return Missing()
        absent = {
            part.name
            for part in self._parts(head.feeds)
            if self._store.query(f"SELECT {self._is_head()} AND {part.absent}", parameters).scalar()
        }
        return Missing(frozenset(absent), too_old=not fresh)

    def mend(self, partition: int, head: Head, part: str, turn: int) -> None:
        """As :meth:`telemetry.blocklog.protocol.LogTables.mend`."""
        for each in self._parts(head.feeds):
            if each.name == part:
                guard = f"{self._is_head()} AND {self._remembered()} AND {each.absent}"
                self._store.insert_select(
                    each.table,
                    each.columns,
                    f"SELECT * FROM ({each.select}) WHERE {guard}",
                    token=mend_token(self._topic, partition, head.number, head.writer, part, turn),
                    parameters=self._of(partition, head),
                )

    def _parts(self, feeds: frozenset[str]) -> list[Part]:
        return list(parts_of(self._store, self._log, self._log.of(feeds)))

    def _is_head(self) -> str:
        """The condition that the block is the partition's last one."""
        newest = f"SELECT max(block) FROM {self._log.table} WHERE {HERE} AND block >= {{number:UInt64}}"
        return f"({newest}) = {{number:UInt64}}"

    def _guard(self, partition: int, number: int, writer: str) -> tuple[str, dict[str, Parameter]]:
        """The condition that the head is (``number``, ``writer``) now; number 0 says that there is none."""
        parameters = {**self._place(partition), "head": number, "head_writer": writer}
        return (
            f"(SELECT (max(block), argMax(writer, block)) FROM {self._log.table} "
            f"WHERE {HERE} AND block >= {{head:UInt64}}) = ({{head:UInt64}}, {{head_writer:String}})",
            parameters,
        )

    def _remembered(self) -> str:
        """The condition that the derived tables still know the tokens of a block that was stored at ``stored``."""
        limit = self._log.stale_blocks
        return (
            f"(fromUnixTimestamp64Milli({{stored:Int64}}) > now64(3) - INTERVAL {_FRESH_DAYS} DAY AND "
            f"(SELECT count() FROM (SELECT DISTINCT topic, partition, block FROM {self._log.table} "
            f"WHERE stored >= fromUnixTimestamp64Milli({{stored:Int64}}) LIMIT {limit + 1})) <= {limit})"
        )

    def _place(self, partition: int) -> dict[str, Parameter]:
        return {"topic": self._topic, "partition": partition}

    def _of(self, partition: int, head: Head) -> dict[str, Parameter]:
        return {**self._place(partition), "number": head.number, "writer": head.writer, "stored": head.stored_ms}


class Recent(NamedTuple):
    """Which blocks of a partition are its last ones.

    Attributes:
        first_block: they begin with this one; 0 if there are none.
        before_ms: when what is in those before had arrived; 0 if there are none.
    """

    first_block: int = 0
    before_ms: int = 0


def recent(store: Store, log: Log, *, topic: str, partition: int, remember_ms: int, most: int) -> Recent:
    """The last blocks of a partition that has traces: those of a time that ends with the newest, and so many rows at most.

    Time ends with the newest, and not now: what is read after a pause follows on that.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    place: dict[str, Parameter] = {"topic": topic, "partition": partition}
    newest = f"(SELECT stored FROM {log.table} WHERE {HERE} AND {_TRACES} ORDER BY block DESC LIMIT 1)"
    sizes = store.query(
        f"SELECT block, count() FROM {log.table} WHERE {HERE} AND {_TRACES} "
        f"AND stored > {newest} - toIntervalMillisecond({{remember:UInt64}}) GROUP BY block ORDER BY block DESC",
        {**place, "remember": remember_ms},
    ).rows
    first, count = 0, 0
    for block, size in sizes:
        count += int(size)
        if first and count > most:
            break
        first = int(block)
    # Traces do not close in the order in which they arrived, but nearly.
    before = store.query(
        f"SELECT toUnixTimestamp64Milli(max(arrived)) FROM (SELECT arrived FROM {log.table} WHERE {HERE} AND {_TRACES} "
        f"AND block < {{first:UInt64}} ORDER BY block DESC LIMIT {_LOOKED_AT}) HAVING count() > 0",
        {**place, "first": first},
    ).rows
    return Recent(first, int(before[0][0]) if before else 0)


def emitted(store: Store, log: Log, *, topic: str, partition: int, committed: int, first_block: int) -> "pa.Table":
    """What a partition has emitted that may come again, one row a trace.

    A trace may come again if a record at or past ``committed`` contributed to it: there are as many of those as there are. Late
    spans of it may, if it is in ``first_block`` or after it. To be read after the take-over: then nothing is added any more.

    Returns:
        ``trace_id`` (16 bytes); ``last_offset``, of the last record that contributed, late spans included; ``block``, which has
        its newest version, 0 where only late spans of it were found; ``arrived_ms``, when its last span came.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    return store.arrow(
        "SELECT id AS trace_id, last AS last_offset, newest AS block, toUnixTimestamp64Milli(came) AS arrived_ms "
        "FROM (SELECT trace_id AS id, max(last_offset) AS last, max(arrived) AS came, "
        f"argMaxIf(block, version, kind = 'path' AND sign = 1) AS newest FROM {log.table} WHERE {HERE} AND {_TRACES} AND "
        "(last_offset >= {committed:UInt64} OR block >= {first:UInt64}) GROUP BY trace_id)",
        {"topic": topic, "partition": partition, "committed": committed, "first": first_block},
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
        f"SELECT * FROM {log.table} WHERE {HERE} AND block IN {{blocks:Array(UInt64)}} "
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
        f"SELECT trace_id, max(last_offset) AS last_offset, "
        f"argMaxIf(block, version, kind = 'path' AND sign = 1) AS block FROM {log.table} "
        f"WHERE {HERE} AND {_TRACES} "
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
    newest = f"(SELECT block FROM {log.table} WHERE {HERE} AND {derived.has} ORDER BY block DESC LIMIT 1)"
    for table, where in ((log.table, f"{HERE} AND {derived.has} AND block = {newest}"), (derived.table, HERE)):
        asked = f"SELECT max(last_offset) FROM {table} WHERE {where} HAVING count() > 0"
        for (last,) in store.query(asked, place).rows:
            return max(committed, int(last) + 1)
    return committed
