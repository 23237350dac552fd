"""``edgepath slo backtest``: when would it have paged, and was that right?"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.duration import Duration
from telemetry.cli.settings import Configured
from telemetry.cli.slo_options import slos_option
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    from alerts.backtest.score import Score
    from alerts.slos import Slo
    from telemetry.store.address import ServerAddress


@click.command(cls=Configured, short_help="When would it have paged, and was that right?")
@click.argument("name", metavar="SLO")
@click.option("--since", type=Duration(), default="30d", show_default=True, help="How far back to replay.")
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML that describes traffic and incidents, in place of history; needs no store.",
)
@click.option(
    "--incidents",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML of known incidents of the past, for precision and recall.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=("workbook",),
    show_default=True,
    metavar="NAME",
    help="Burn-rate policy; repeat it to compare several side by side.",
)
@clickhouse_options()
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of an embedded store.")
@slos_option
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture (SVG) here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backtest(
    name: str,
    since: float,
    scenario: Path | None,
    incidents: Path | None,
    policies: tuple[str, ...],
    clickhouse: "ServerAddress | None",
    data: Path | None,
    slos: tuple[Path, ...],
    picture: Path | None,
    as_json: bool,
) -> None:
    """Replay the rules of SLO (a name, or `all`) over stored minutes, or over a described scenario.

    Every page with its time to detect, time to reset, and the budget that was gone before it; with --incidents or
    --scenario, precision and recall. An SLO that is not watched yet is counted from the stored paths: prove it here
    before it goes live.

    \b
    Examples:
      edgepath slo backtest edge-availability --since 30d --incidents autumn.yaml
      edgepath slo backtest edge-availability --policy workbook --policy mine.yaml \\
          --scenario outage.yaml --picture a.svg
    """
    from alerts import policies as policy_files  # noqa: PLC0415 - numpy and the store are not needed by the others
    from alerts import slos as slo_files  # noqa: PLC0415
    from alerts.backtest import labels, run  # noqa: PLC0415
    from alerts.backtest import scenario as scenarios  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415

    wanted = chosen(slo_files.load(slos or None), name)
    rules = [policy_files.load(p) for p in policies]
    if len({p.resolution_seconds for p in rules}) > 1:
        raise ConfigurationError(
            "these policies have different resolutions, but counts are stored in one; compare others"
        )
    if scenario is not None:
        told = scenarios.load(scenario)
        start, end = run.scenario_bounds(told)
        series = {g: s for slo in wanted for g, s in run.of_scenario(told, slo, rules[0].resolution_seconds).items()}
        known: list[labels.Incident] | None = told.incidents
    else:
        end = time.time()
        start = end - since
        known = labels.load(incidents) if incidents else None
        store = open_store(clickhouse, data)
        try:
            series = run.over_history(store, wanted, rules, start, end)
        finally:
            store.close()
    scores = run.compare(wanted, rules, series, start, end, known)
    if as_json:
        click.echo(json.dumps({"slos": [s.name for s in wanted], "policies": [s.to_dict() for s in scores]}, indent=2))
    else:
        _print(wanted, scores, {(g.slo, g.value) for g in series}, end - start)
    if picture is not None:
        from alerts.backtest.picture import draw  # noqa: PLC0415
        from alerts.lint import rules_of  # noqa: PLC0415

        mine = {g: s for g, s in series.items() if g.slo == wanted[0].name}
        try:
            picture.write_text(
                draw(wanted[0], mine, rules_of(wanted[0], rules[0]).rules, scores, start, end), encoding="utf-8"
            )
        except OSError as error:
            raise ConfigurationError(f"cannot write {picture}: {error.strerror}") from error
        click.echo(f"wrote {picture}", err=True)


def chosen(found: "list[Slo]", name: str) -> "list[Slo]":
    """The SLO of that name, or all.

    Raises:
        ConfigurationError: there is none.
    """
    wanted = [s for s in found if name in (s.name, "all")]
    if not wanted:
        raise ConfigurationError(f"no SLO is called {name!r}; there are {', '.join(s.name for s in found)}, and all")
    return wanted


def _print(wanted: "list[Slo]", scores: "list[Score]", groups: set[tuple[str, str]], seconds: float) -> None:
    from rich.table import Table  # noqa: PLC0415

    from telemetry.cli.tables import console, span  # noqa: PLC0415

    out = console()
    if not groups:
        out.print(f"no counts of {', '.join(s.name for s in wanted)} in the last {span(seconds)}: nothing to replay")
        return
    out.print(f"{', '.join(s.name for s in wanted)}: {len(groups)} groups over {span(seconds)}")
    table = Table("Policy", "Pages", "Tickets", "To detect", "Precision", "Recall", "Missed")
    for s in scores:
        cells = [s.policy, str(len(s.of("page"))), str(len(s.of("ticket"))), _time(s.seconds_to_detect)]
        cells += [_share(s.precision), _share(s.recall), ", ".join(i.name for i in s.missed) or "-"]
        table.add_row(*cells)
    out.print(table)
    for s in scores:
        rows = Table(
            "At", "What", "Groups", "Rules", "To detect", "To reset", "Budget used", "Incident", title=s.policy
        )
        for page in s.pages:
            told: dict[str, Any] = page.to_dict()
            rows.add_row(
                told["at"][:16].replace("T", " "),
                told["severity"],
                " ".join(dict.fromkeys(told["values"])) or "-",
                " ".join(r.partition(":")[2] for r in told["rules"]),
                _time(page.seconds_to_detect),
                _time(page.seconds_to_reset),
                f"{page.first.budget_used:.2%}",
                told["incident"] or "-",
            )
        if s.pages:
            out.print(rows)


def _time(seconds: float | None) -> str:
    from telemetry.cli.tables import span  # noqa: PLC0415

    return "-" if seconds is None else span(seconds)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
