"""Applies the numbered migrations, the same for the embedded store, a server and (with its own engines) a cluster."""

from telemetry.errors import ConfigurationError, StoreError
from telemetry.store.base import Store
from telemetry.store.tables import migrations, statements

_LEDGER = """CREATE TABLE IF NOT EXISTS schema_migrations
(number UInt32, name String, applied DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = MergeTree ORDER BY number"""
_HAS_LEDGER = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
_ACCESS_DENIED = 497


def applied(store: Store) -> set[int]:
    """Numbers of the migrations that the store has. Raises as :meth:`telemetry.store.base.Store.query` does."""
    # Who may not make tables may still use them; ClickHouse asks for the right to make one even if it is there.
    if not store.query(_HAS_LEDGER).scalar():
        store.execute(_LEDGER)
    return {int(row[0]) for row in store.query("SELECT DISTINCT number FROM schema_migrations").rows}


def apply(store: Store) -> list[str]:
    """Apply what is missing, in order, and return the names of what was applied.

    Every statement is ``IF NOT EXISTS``: a run that was cut short, or two at once, end in the same schema.
    Raises:
        ConfigurationError: something is missing, and this user may not make it.
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    try:
        return _apply(store)
    except StoreError as error:
        if error.code != _ACCESS_DENIED:
            raise
        raise ConfigurationError(
            "the tables are not there or not current, and this user may not make them: run `edgepath schema apply` as one "
            f"who may ({error})"
        ) from error


def _apply(store: Store) -> list[str]:
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
