"""``edgepath slo``: check SLO files, show error budgets."""

import json
import sys
import time
from pathlib import Path

import click

from telemetry.cli.slo_backtest import backtest
from telemetry.cli.slo_rules import rules
from telemetry.errors import EdgepathError


@click.group()
def slo() -> None:
    """Service level objectives: check their files, show their error budgets, prove their alerts."""


slo.add_command(backtest)
slo.add_command(rules)


@slo.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--policy", default="workbook", show_default=True, help="Burn-rate policy: a shipped one's name, or a file."
)
@click.option(
    "--clickhouse", metavar="URL", envvar="EDGEPATH_CLICKHOUSE", help="Also check against the last day on this server."
)
@click.option("--data", type=click.Path(path_type=Path), help="The same, against an embedded store.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(files: tuple[Path, ...], policy: str, clickhouse: str | None, data: Path | None, as_json: bool) -> None:
    """Check SLO FILES (OpenSLO v1; directories too): the shipped ones if none are named.

    Prints every problem with its place, and exits with 1 if there is one; notes are printed, and stop nothing. With a
    store it also refuses SLOs that match nothing in the last day of data, and thresholds that nothing can meet.
    """
    from alerts import policies, slos  # noqa: PLC0415 - the command line starts fast for those who do not check
    from alerts.document import ProblemsError, errors  # noqa: PLC0415
    from alerts.lint import lint  # noqa: PLC0415

    catalog, problems = slos.try_catalog(files or None)
    found: list[slos.Slo | slos.PrometheusSlo] = [*catalog.slos, *catalog.prometheus]
    try:
        rules = policies.load(policy)
        problems += lint(found, rules)
        if clickhouse or data:
            from alerts.lint_data import lint_data  # noqa: PLC0415
            from telemetry.store import open_store  # noqa: PLC0415

            store = open_store(clickhouse, data)
            try:
                problems += lint_data(store, catalog.slos, rules, time.time())
            finally:
                store.close()
    except ProblemsError as error:
        problems += error.problems
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        told = {
            "ok": not errors(problems),
            "slos": [{"name": s.name, "file": s.file, "objective": f"{s.objective.normalize():f}"} for s in found],
            "problems": [{"file": p.file, "path": p.path, "message": p.message, "note": p.note} for p in problems],
        }
        click.echo(json.dumps(told, indent=2))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if not errors(problems):
            for s in found:
                click.echo(f"ok  {s.name}  objective {s.objective.normalize():f}  {s.file}")
    if errors(problems):
        raise SystemExit(1)


@slo.command()
@click.option(
    "--clickhouse", metavar="URL", envvar="EDGEPATH_CLICKHOUSE", help="ClickHouse server: clickhouse://HOST:9000/DB."
)
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of an embedded store.")
@click.option(
    "--slos", "folder", type=click.Path(path_type=Path), help="SLO file or directory; the shipped ones if not given."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(clickhouse: str | None, data: Path | None, folder: Path | None, as_json: bool) -> None:
    """Show how much of every error budget is left."""
    from alerts import slos  # noqa: PLC0415
    from alerts.status import status as read_status  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415

    try:
        wanted = slos.load([folder] if folder else None)
        store = open_store(clickhouse, data)
        try:
            lines = read_status(store, wanted, time.time())
        finally:
            store.close()
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([line.to_dict() for line in lines], indent=2))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from alerts.document import duration_text  # noqa: PLC0415

    table = Table("SLO", "Group", "Objective", "Period", "Requests", "Good", "Budget left", "Burn 1h")
    for line in lines:
        left = "no data" if line.budget_left is None else f"{line.budget_left:.1%}"
        table.add_row(
            line.slo,
            " ".join(part for part in (line.environment, line.value) if part),
            line.objective,
            duration_text(line.period_seconds),
            f"{line.total:,.0f}",
            "-" if line.sli is None else f"{line.sli:.4%}",
            f"[red]{left}[/red]" if line.budget_left is not None and line.budget_left <= 0 else left,
            "-" if line.burn_1h is None else f"{line.burn_1h:.1f}x",
        )
    # Into a pipe or a file, lines are not cut to 80 columns.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
