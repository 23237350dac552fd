"""``edgepath verify``: does everything add up?"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.duration import Duration
from telemetry.cli.settings import Configured
from telemetry.cli.slo_options import slo_options

if TYPE_CHECKING:
    from telemetry.app.verify import Verification
    from telemetry.store.address import ServerAddress

_MOMENTS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_MOMENT = "YYYY-MM-DD[THH:MM[:SS]]"


@click.command(cls=Configured)
@clickhouse_options()
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of an embedded store.")
@slo_options
@click.option("--last", type=Duration(), default="1d", show_default=True, help="How far back to look.")
@click.option(
    "--from", "begin", type=click.DateTime(_MOMENTS), metavar=_MOMENT, help="Look from this time on, instead (UTC)."
)
@click.option("--to", "end", type=click.DateTime(_MOMENTS), metavar=_MOMENT, help="Look up to this time (UTC).")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=20,
    show_default=True,
    help="Differences to show of each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    clickhouse: "ServerAddress | None",
    data: Path | None,
    slos: tuple[Path, ...],
    policy: str,
    last: float,
    begin: datetime | None,
    end: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Recount the tables, and tell where they differ from what they are made of.

    The tables that follow from the log of blocks are compared with the log (by the time at which blocks were stored),
    roll-ups and the SLOs' counts with the request paths (by the time of the requests). Exits with 1 if anything differs.
    Changes nothing.

    The last day of a busy system takes minutes; --last 1h is a good beginning.
    """
    from alerts import policies  # noqa: PLC0415 - the command line starts fast for those who do not verify
    from alerts import slos as slo_files  # noqa: PLC0415
    from telemetry.app.verify import verify as compare  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415

    now = int(time.time())
    until = int(end.replace(tzinfo=UTC).timestamp()) if end else now
    since = int(begin.replace(tzinfo=UTC).timestamp()) if begin else until - int(last)
    if since >= until:
        raise click.UsageError("there is nothing between --from and --to")
    wanted = slo_files.load(slos or None)
    resolution = policies.load(policy).resolution_seconds
    store = open_store(clickhouse, data)
    try:
        found = compare(
            store,
            since,
            until,
            now=now,
            slos=wanted,
            resolution_seconds=resolution,
            limit=limit,
            wait=lambda: time.sleep(2),
            progress=lambda check: click.echo(f"comparing {check}", err=True),
        )
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        _show(found)
    if found.differing:
        raise SystemExit(1)


def _show(found: "Verification") -> None:
    from rich.table import Table  # noqa: PLC0415

    from telemetry.cli.tables import console  # noqa: PLC0415

    table = Table("Compared", "Groups or blocks", "Differing")
    for each in found.recounts:
        table.add_row(each.check, f"{each.compared:,}", f"[red]{each.differing:,}[/red]" if each.differing else "0")
    console().print(table)
    if found.differing:
        details = Table("Compared", "Where", "Column", "Stored", "Recounted")
        for each in found.recounts:
            for one in each.differences:
                place = " ".join(f"{name}={value}" for name, value in one.place.items() if str(value))
                details.add_row(one.check, place, one.column, str(one.stored), str(one.wanted))
        console().print(details)
    for name in found.not_counted:
        click.echo(
            f"not compared: the SLO {name} has no counts, or those of another definition (edgepath watch makes them)"
        )
    first, last = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (found.start, found.end))
    verdict = f"{found.differing:,} differ" if found.differing else "everything adds up"
    click.echo(f"from {first} to {last} UTC: {verdict}")
