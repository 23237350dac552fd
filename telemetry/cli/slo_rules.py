"""``edgepath slo rules``: the same alerts for Grafana and Prometheus."""

from pathlib import Path

import click

from telemetry.errors import ConfigurationError


@click.command(short_help="Write the same alerts for Grafana and Prometheus.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory to write to.")
@click.option(
    "--policy",
    metavar="NAME",
    default="workbook",
    show_default=True,
    help="Burn-rate policy: a shipped one's name, or a file.",
)
@click.option(
    "--datasource-uid",
    metavar="UID",
    default="clickhouse",
    show_default=True,
    help="Uid of Grafana's ClickHouse datasource.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if the files there are not what would be written.")
def rules(files: tuple[Path, ...], out: Path, policy: str, datasource_uid: str, check: bool) -> None:
    """Write alert rules for other engines from SLO FILES (the shipped ones if none are named).

    For Grafana: alert rules over ClickHouse, contact points and notification policies (copy grafana/provisioning/alerting to
    Grafana's provisioning directory), and the SLO dashboard. For SLIs that live in Prometheus: recording and alerting rules.

    Secrets stay environment variables of Grafana (edgepath/urlFrom: env:NAME becomes $NAME).
    """
    from alerts import policies, slos  # noqa: PLC0415 - grafanalib is not needed by the other commands
    from alerts.document import ProblemsError  # noqa: PLC0415
    from alerts.lint import lint  # noqa: PLC0415
    from alerts.rules import build  # noqa: PLC0415

    catalog, chosen = slos.load_catalog(files or None), policies.load(policy)
    if wrong := lint([*catalog.slos, *catalog.prometheus], chosen):
        raise ProblemsError(wrong)
    made = build.files(catalog, chosen, datasource_uid)
    if check:
        if outdated := build.outdated(made, out):
            raise ConfigurationError(f"{'; '.join(outdated)}; mend it with `edgepath slo rules --out {out}`")
        click.echo(f"{len(made)} files are what the SLO files make")
        return
    for path in build.write(made, out):
        click.echo(path)
