"""``edgepath slo status`` and ``edgepath slo budget``: what is left of the error budgets, and what burned them."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.duration import Duration
from telemetry.cli.settings import Configured
from telemetry.cli.slo_options import slo_options

if TYPE_CHECKING:
    from telemetry.store.address import ServerAddress

_F = TypeVar("_F", bound=Callable[..., Any])


def _with_store(command: _F) -> _F:
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option("--data", type=click.Path(path_type=Path), help="Data directory of an embedded store.")(
        command
    )
    return clickhouse_options()(slo_options(command))


@click.command(cls=Configured, short_help="What is left of the error budgets.")
@_with_store
def status(
    clickhouse: "ServerAddress | None", data: Path | None, slos: tuple[Path, ...], policy: str, as_json: bool
) -> None:
    """Show how much of every error budget is left, how fast it burns, and the state of the error-budget policy."""
    from alerts import policies  # noqa: PLC0415 - the command line starts fast for the other commands
    from alerts import slos as slo_files  # noqa: PLC0415
    from alerts.document import duration_text  # noqa: PLC0415
    from alerts.status import status as read_status  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415

    wanted, rules = slo_files.load(slos or None), policies.load(policy)
    store = open_store(clickhouse, data)
    try:
        lines = read_status(store, wanted, time.time(), rules)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps([line.to_dict() for line in lines], indent=2))
        return
    from rich.table import Table  # noqa: PLC0415

    from telemetry.cli.tables import console, span  # noqa: PLC0415

    table = Table(
        "SLO", "Group", "Objective", "Period", "Requests", "Good", "Budget left", "Burn 1h", "Gone in", "State"
    )
    for line in lines:
        left = "no data" if line.budget_left is None else f"{line.budget_left:.1%}"
        table.add_row(
            line.slo,
            " ".join(part for part in (line.environment, line.value) if part),
            line.objective,
            duration_text(line.period_seconds),
            f"{line.total:,.0f}" + (f" slices of {duration_text(line.slice_seconds)}" if line.slice_seconds else ""),
            "-" if line.sli is None else f"{line.sli:.4%}",
            f"[red]{left}[/red]" if line.budget_left is not None and line.budget_left <= 0 else left,
            "-" if line.burn_1h is None else f"{line.burn_1h:.1f}x",
            "-" if line.exhausted_in is None else span(line.exhausted_in),
            line.state,
        )
    console().print(table)


@click.command(cls=Configured, short_help="Where an error budget went.")
@click.argument("name", metavar="SLO")
@click.option("--step", type=Duration(), default="1d", show_default=True, help="A line for each stretch of so long.")
@_with_store
def budget(
    name: str,
    step: float,
    clickhouse: "ServerAddress | None",
    data: Path | None,
    slos: tuple[Path, ...],
    policy: str,
    as_json: bool,
) -> None:
    """Report where the error budget of SLO (a name, or `all`) went: over time, and by tier, PoP, route, reason, incident."""
    from alerts import policies  # noqa: PLC0415 - as above
    from alerts import slos as slo_files  # noqa: PLC0415
    from alerts.budget import reports  # noqa: PLC0415
    from alerts.document import duration_text  # noqa: PLC0415
    from telemetry.cli.slo_backtest import chosen  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415

    wanted, rules = chosen(slo_files.load(slos or None), name), policies.load(policy)
    store = open_store(clickhouse, data)
    try:
        found = [r for slo in wanted for r in reports(store, slo, rules, time.time(), max(60, int(step)))]
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps([r.to_dict() for r in found], indent=2))
        return
    from rich.table import Table  # noqa: PLC0415

    from telemetry.cli.tables import console  # noqa: PLC0415

    out = console()
    if not found:
        out.print(f"no counts of {', '.join(s.name for s in wanted)} in their periods")
    for r in found:
        place = " ".join(part for part in (r.slo, r.environment, r.value) if part)
        left = "no data" if r.left is None else f"{r.left:.1%}"
        out.print(f"{place}: {left} of the budget left{f', {r.state}: {r.action}' if r.state else ''}")
        events = f"Slices of {duration_text(r.slice_seconds)}" if r.slice_seconds else "Requests"
        table = Table("From", events, "Bad", "Used", "Left")
        for s in r.steps:
            at = datetime.fromtimestamp(s.start, UTC).strftime("%Y-%m-%d %H:%M")
            table.add_row(at, f"{s.total:,.0f}", f"{s.bad:,.0f}", f"{s.used:.2%}", f"{s.left:.1%}")
        out.print(table)
        burners = Table("Burned by", "", "Bad requests", "Used")
        for b in (*r.burners, *r.incidents):
            burners.add_row(b.dimension, b.value or "-", f"{b.bad:,.0f}", f"{b.used:.2%}")
        if r.burners or r.incidents:
            out.print(burners)
