"""``edgepath schema``: the tables."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.settings import Configured
from telemetry.store import open_store

if TYPE_CHECKING:
    from telemetry.store.address import ServerAddress


@click.group()
def schema() -> None:
    """Create or update the tables in ClickHouse."""


@schema.command(cls=Configured)
@clickhouse_options()
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory of an embedded store, instead of a server."
)
def apply(clickhouse: "ServerAddress | None", data: Path | None) -> None:
    """Apply the numbered migrations that are missing. Safe to run again, and by two at once."""
    from telemetry.store import schema as migrations  # noqa: PLC0415 - after the options are known to be right

    store = open_store(clickhouse, data)
    try:
        names = ", ".join(f"{number:04d}" for number in sorted(migrations.applied(store)))
        click.echo(f"the schema is up to date: migrations {names}")
    finally:
        store.close()
