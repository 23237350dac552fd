"""Whether a span costs more where there is more: history in the tables, partitions of the topic."""

import itertools
from collections.abc import Callable
from pathlib import Path

from telemetry.store.base import Store
from telemetry.store.tables import PATH_FEED, PATH_LOG, REQUEST_PATHS, stored_columns
from tests.bench import servers
from tests.bench.consuming import Setup, Took, consuming
from tests.bench.load import Load
from tests.bench.measure import Series

_PATHS = 40_000
"""One times the history: as many paths as are consumed then."""


def history(folder: Path) -> dict[str, Series]:
    """The same backlog on tables with one, ten and a hundred times as many paths of the same partition."""
    load, warm = Load("batch", 2_000), Load("batch", 500, seed=1)
    found: dict[str, Series] = {}
    with consuming(servers.of(folder), folder, warm, partitions=1) as first:
        first.consume(load, 20)
        for times in (1, 10, 100):
            with consuming(servers.of(folder), folder, warm, partitions=1, before=_copied(first, times)) as setup:
                found |= _costs(f"consumer.history_{times}x", setup.consume(load, 40))
    return found


def partitions(folder: Path) -> dict[str, Series]:
    """The same backlog of keyed messages on 1, 8 and 64 partitions; one consumer has them all."""
    load, warm = Load("keyed", 2_000), Load("keyed", 500, seed=1)
    found: dict[str, Series] = {}
    for count in (1, 8, 64):
        with consuming(servers.of(folder), folder, warm, partitions=count) as setup:
            found |= _costs(f"consumer.partitions_{count}", setup.consume(load, 20))
    return found


def _costs(name: str, took: Took) -> dict[str, Series]:
    return {
        f"{name}.cpu_us_per_span": Series("CPU us", (took.consumer / took.spans * 1e6,)),
        f"{name}.server_cpu_us_per_span": Series("CPU us", (took.server / took.spans * 1e6,)),
    }


def _copied(source: Setup, times: int) -> Callable[[Store, str], int]:
    """Fills tables with copies of what ``source`` has stored: two days old, under other trace ids, in blocks of their own.

    Paths go through the feed, as a consumer's do: the roll-ups follow.
    """
    database = source.store.query("SELECT currentDatabase()").scalar()

    def fill(store: Store, topic: str) -> int:
        copied = ((PATH_LOG, PATH_LOG, "WHERE kind = 'path'"), (REQUEST_PATHS, PATH_FEED, ""))
        for nth, (table, to, where) in itertools.product(range(times), copied):
            other = {
                "trace_id": f"MD5(concat(trace_id, '{nth}'))",
                "topic": f"'{topic}'",
                "block": f"block + {nth * 100}",
                "writer": "'history'",
                "stored": "stored - INTERVAL 2 DAY",
                "start": "start - INTERVAL 2 DAY",
                "last_offset": "0",
            }
            names = stored_columns(table)
            columns = ", ".join(f"`{name}`" for name in names)
            values = ", ".join(other.get(name, f"`{name}`") for name in names)
            store.insert_select(
                to,
                names,
                f"SELECT {values} FROM (SELECT {columns} FROM {database}.{table} {where} LIMIT {_PATHS})",
                token=f"history/{table}/{nth}",
            )
        return _PATHS * times

    return fill
