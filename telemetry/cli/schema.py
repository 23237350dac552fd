"""``edgepath schema``: the tables."""

from pathlib import Path

import click

from telemetry.store import open_store


@click.group()
def schema() -> None:
    """Create or update the tables in ClickHouse."""


@schema.command()
@click.option(
    "--clickhouse", metavar="URL", envvar="EDGEPATH_CLICKHOUSE", help="clickhouse://USER:PASSWORD@HOST:9000/DB"
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory of an embedded store, instead of a server."
)
def apply(clickhouse: str | None, data: Path | None) -> None:
    """Apply the numbered migrations that are missing. Safe to run again, and by two at once."""
    from telemetry.store import schema as migrations  # noqa: PLC0415 - after the options are known to be right

    store = open_store(clickhouse, data)
    try:
        names = ", ".join(f"{number:04d}" for number in sorted(migrations.applied(store)))
        click.echo(f"the schema is up to date: migrations {names}")
    finally:
        store.close()
