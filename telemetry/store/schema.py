"""Applies the numbered migrations, the same for the embedded store, a server and (with its own engines) a cluster."""

from telemetry.store.base import Store
from telemetry.store.tables import migrations, statements

_LEDGER = """CREATE TABLE IF NOT EXISTS schema_migrations
(number UInt32, name String, applied DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = MergeTree ORDER BY number"""


def applied(store: Store) -> set[int]:
    """Numbers of the migrations that the store has. Raises as :meth:`telemetry.store.base.Store.query` does."""
    store.execute(_LEDGER)
    return {int(row[0]) for row in store.query("SELECT DISTINCT number FROM schema_migrations").rows}


def apply(store: Store) -> list[str]:
    """Apply what is missing, in order, and return the names of what was applied.

    Every statement is ``IF NOT EXISTS``: a run that was cut short, or two at once, end in the same schema.
    Raises as :meth:`telemetry.store.base.Store.query` does.
    """
    have = applied(store)
    done = []
    for number, name, sql in migrations():
        if number in have:
            continue
        for statement in statements(sql):
            store.execute(statement)
        store.execute(
            "INSERT INTO schema_migrations (number, name) SELECT {number:UInt32}, {name:String}",
            {"number": number, "name": name},
        )
        done.append(f"{number:04d}_{name}")
    return done
