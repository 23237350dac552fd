"""What a pipeline must know of the past before it takes a partition over: the store is the log of what was emitted."""

from dataclasses import dataclass

from telemetry.store.base import Parameter, Store, block_token
from telemetry.store.inserts import drive_again_statement
from telemetry.store.tables import LATE_SPANS, REQUEST_PATHS, stored_columns


@dataclass(frozen=True)
class Past:
    """What was stored of one partition.

    Attributes:
        next_block: the number after the last block that landed.
        emitted: (trace id, offset of the last record that contributed, late spans included) of every trace that may come
            again.
    """

    next_block: int
    emitted: list[tuple[bytes, int]]


def read_past(store: Store, *, topic: str, partition: int, committed: int, remember_ms: int, now_ms: int) -> Past:
    """Read it. Traces may come again if a record at or past the committed offset contributed, or if it is not long ago.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    place: dict[str, Parameter] = {"topic": topic, "partition": partition}
    mine = "topic = {topic:String} AND partition = {partition:UInt32}"
    last = [
        int(store.query(f"SELECT max(block) FROM {table} WHERE {mine}", place).scalar() or 0)  # noqa: S608 - our names
        for table in (REQUEST_PATHS, LATE_SPANS)
    ]
    # A late span that was stored contributed, too: its record may come again as well.
    rows = store.query(
        f"SELECT trace_id, max(last_offset) FROM (SELECT trace_id, last_offset FROM {REQUEST_PATHS} WHERE {mine}"  # noqa: S608 - our names
        " AND (last_offset >= {committed:UInt64} OR stored > fromUnixTimestamp64Milli({since:Int64}))"
        f" UNION ALL SELECT trace_id, last_offset FROM {LATE_SPANS} WHERE {mine}"
        " AND last_offset >= {committed:UInt64}) GROUP BY trace_id",
        {**place, "committed": committed, "since": max(0, now_ms - remember_ms)},
    ).rows
    return Past(max(last) + 1, [(bytes(trace).ljust(16, b"\0"), int(offset)) for trace, offset in rows])


def drive_again(store: Store, *, topic: str, partition: int, block: int) -> None:
    """Insert a partition's last block once more, from its stored rows: a crash can have cut it off between table and views.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.execute`.
    """
    place = "topic = {topic:String} AND partition = {partition:UInt32} AND block = {block:UInt64}"
    token = block_token(topic, partition, block, REQUEST_PATHS)
    statement = drive_again_statement(REQUEST_PATHS, stored_columns(REQUEST_PATHS), place, token)
    store.execute(statement, {"topic": topic, "partition": partition, "block": block})
