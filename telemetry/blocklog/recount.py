"""Compares the tables that follow from a log with the log, block by block."""

# ruff: noqa: S608 - the parts of these statements are names of ours

from telemetry.blocklog.model import Derived, Log
from telemetry.store.base import Parameter, Store
from telemetry.store.recount import Difference, Recount
from telemetry.store.tables import columns

_BLOCK = "topic, partition, block, writer"


def derived_table(
    store: Store, log: Log, derived: Derived, start_ms: int, end_ms: int, *, limit: int, where: str = "1"
) -> Recount:
    """Compare the rows of all blocks that were logged in ``[start_ms, end_ms)``: how many, and a hash of all columns.

    The last block of each partition is left out: it may be on its way. Of paths that were restated, the versions that hold are
    compared, by what each of the two tables says of that itself. ``where`` is a condition on columns that both have.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    check = f"{derived.table} from {log.table}"
    parameters: dict[str, Parameter] = {"from": start_ms, "to": end_ms}
    sides = f"SELECT 0 AS side, {_table_side(log, derived, where)} UNION ALL SELECT 1 AS side, {_log_side(log, derived, where)}"
    blocks = (
        f"SELECT {_BLOCK}, sumIf(n, side = 0) AS rows_0, sumIf(n, side = 1) AS rows_1, "
        f"sumIf(h, side = 0) AS hash_0, sumIf(h, side = 1) AS hash_1 FROM ({sides}) GROUP BY {_BLOCK}"
    )
    differs = "rows_0 != rows_1 OR hash_0 != hash_1"
    ((compared, differing),) = store.query(f"SELECT count(), countIf({differs}) FROM ({blocks})", parameters).rows
    found: list[Difference] = []
    if differing:
        rows = store.query(
            f"SELECT {_BLOCK}, rows_0, rows_1 FROM ({blocks}) WHERE {differs} ORDER BY {_BLOCK} LIMIT {int(limit)}",
            parameters,
        ).rows
        for topic, partition, block, writer, stored, wanted in rows:
            place = {"topic": topic, "partition": partition, "block": block, "writer": writer}
            column = "rows" if stored != wanted else "what is in the rows"
            found.append(Difference(check, place, column, stored, wanted))
    return Recount(check, int(compared), int(differing), tuple(found))


def _table_side(log: Log, derived: Derived, where: str) -> str:
    hashed = ", ".join(f"`{name}`" for name in derived.columns)
    return (
        f"{_BLOCK}, count() AS n, sum(cityHash64({hashed})) AS h FROM {derived.table} "
        f"WHERE {_within(derived.stored)} AND {where} AND {_settled(log)}{_holding(derived.table)} GROUP BY {_BLOCK}"
    )


def _log_side(log: Log, derived: Derived, where: str) -> str:
    within = f"{_within('stored')} AND {where} AND {_settled(log)} AND ({derived.rows or derived.has})"
    if not derived.group:
        hashed = ", ".join(derived.values)
        return (
            f"{_BLOCK}, count() AS n, sum(cityHash64({hashed})) AS h FROM {log.table} "
            f"WHERE {within}{_holding(log.table) if _holding(derived.table) else ''} GROUP BY {_BLOCK}"
        )
    made = ", ".join(f"{value} AS c{i}" for i, value in enumerate(derived.values))
    names = ", ".join(f"c{i}" for i in range(len(derived.values)))
    return (
        f"{_BLOCK}, count() AS n, sum(cityHash64({names})) AS h FROM (SELECT {_BLOCK}, {made} FROM {log.table} "
        f"WHERE {within} GROUP BY {_BLOCK}, {derived.group} HAVING {derived.having}) GROUP BY {_BLOCK}"
    )


def _within(stored: str) -> str:
    return (
        f"{stored} >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') "
        f"AND {stored} < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')"
    )


def _settled(log: Log) -> str:
    """Not the last block of its partition."""
    return (
        f"(topic, partition, block) NOT IN (SELECT topic, partition, max(block) FROM {log.table} "
        "GROUP BY topic, partition)"
    )


def _holding(table: str) -> str:
    """Rows that are not taken back, by what the table itself says; pairs may have been merged away."""
    if "sign" not in columns(table):
        return ""
    return f" AND sign = 1 AND (trace_id, version) NOT IN (SELECT trace_id, version FROM {table} WHERE sign = -1)"
