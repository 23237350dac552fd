"""``edgepath dashboards``: write the Grafana dashboards, or check that the files are what the code makes."""

from pathlib import Path

import click

from telemetry.errors import ConfigurationError


@click.group()
def dashboards() -> None:
    """Grafana dashboards over Edgepath's tables."""


@dashboards.command(short_help="Write every dashboard as JSON.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Directory to write to; by default dashboards/generated of this installation.",
)
def build(out: Path | None) -> None:
    """Write every dashboard as JSON, for Grafana's file provisioning or import.

    Not the one of the SLOs: it follows their files, and `edgepath slo rules` writes it with their alert rules.
    """
    from dashboards import build as builder  # noqa: PLC0415 - grafanalib is not needed by the other commands

    for path in builder.write(out or builder.GENERATED):
        click.echo(path)
    click.echo("the dashboard of the SLOs follows their files: `edgepath slo rules --out DIR` writes it", err=True)


@dashboards.command()
def check() -> None:
    """Fail if a generated file is not what the code makes."""
    from dashboards import build as builder  # noqa: PLC0415 - as above

    wrong = builder.outdated()
    if wrong:
        raise ConfigurationError(f"{'; '.join(wrong)}; mend it with `edgepath dashboards build`")
    click.echo(f"{len(builder.dashboards())} dashboards are what the code makes")
