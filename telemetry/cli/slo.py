"""``edgepath slo``: check SLO files, show error budgets."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.settings import Configured
from telemetry.cli.settings.command import CommandError
from telemetry.cli.slo_backtest import backtest
from telemetry.cli.slo_drill import drill
from telemetry.cli.slo_options import policy_option
from telemetry.cli.slo_rules import rules
from telemetry.cli.slo_status import budget, status
from telemetry.errors import EdgepathError

if TYPE_CHECKING:
    from telemetry.store.address import ServerAddress


class _Told(click.Group):
    """Our errors become one line and exit status 1, also when this group is called by itself."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgepathError as error:
            raise CommandError(str(error)) from error


@click.group(cls=_Told)
def slo() -> None:
    """Service level objectives: check their files, show their error budgets, prove their alerts."""


slo.add_command(backtest)
slo.add_command(drill)
slo.add_command(rules)
slo.add_command(status)
slo.add_command(budget)


@slo.command(cls=Configured, short_help="Check SLO files, and that data can meet them.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@policy_option
@clickhouse_options(help="Also check against the last day on this server: clickhouse://HOST:9000/DATABASE.")
@click.option("--data", type=click.Path(path_type=Path), help="The same, against an embedded store.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    files: tuple[Path, ...], policy: str, clickhouse: "ServerAddress | None", data: Path | None, as_json: bool
) -> None:
    """Check SLO FILES (OpenSLO v1; directories too): the shipped ones if none are named.

    Prints every problem with its place, and exits with 1 if there is one; notes are printed, and stop nothing. With a
    store it also refuses SLOs that match nothing in the last day of data, and thresholds that nothing can meet.
    """
    from alerts import policies, slos  # noqa: PLC0415 - the command line starts fast for those who do not check
    from alerts.document import ProblemsError, errors  # noqa: PLC0415
    from alerts.lint import lint, notes  # noqa: PLC0415

    catalog, problems = slos.try_catalog(files or None)
    found: list[slos.Slo | slos.PrometheusSlo] = [*catalog.slos, *catalog.prometheus]
    try:
        rules = policies.load(policy)
        problems += [*lint(found, rules), *notes(found, rules)]
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
