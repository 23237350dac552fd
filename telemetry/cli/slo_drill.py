"""``edgepath slo drill``: does a page arrive?"""

import json
import secrets
import string
from typing import TYPE_CHECKING

import click

from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.duration import Duration
from telemetry.cli.settings import Configured, setting

if TYPE_CHECKING:
    from telemetry.store.address import ServerAddress


@click.command(cls=Configured, short_help="Send an incident through the pipeline: does a page arrive?")
@setting(
    "--otlp",
    table="slo",
    metavar="URL",
    required=True,
    envvar="EDGEPATH_OTLP",
    help="OTLP/HTTP receiver, e.g. http://host:4318.",
)
@clickhouse_options(required=True, help="ClickHouse server of the pipeline and the watchers.")
@click.option("--alertmanager", metavar="URL", default="", help="An Alertmanager that must show the alert.")
@click.option("--timeout", type=Duration(), default="5m", show_default=True, help="How long all of it may take.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drill(otlp: str, clickhouse: "ServerAddress", alertmanager: str, timeout: float, as_json: bool) -> None:
    """Send a marked, synthetic incident through the real pipeline, and see that a page arrives and resolves.

    OTLP in, Kafka, consumer, ClickHouse, `edgepath watch` with its state in ClickHouse, every receiver: each leg is timed.
    The page says DRILL first. No real SLO counts it, and it is removed from the tables at the end. Exits with 1 if
    it did not arrive: made for a weekly cron.

    \b
    Example:
      edgepath slo drill --otlp http://collector:4318 \\
          --clickhouse clickhouse://db:9000/edgepath
    """
    from alerts.drill import Leg, Runner  # noqa: PLC0415 - OTLP is not needed by the other commands
    from telemetry.store import open_store  # noqa: PLC0415

    # Letters alone: the engine takes digits in names for ids of something, and folds them.
    name = "drill-" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))

    def tell(leg: Leg) -> None:
        took = "did not arrive" if leg.seconds is None else f"{leg.seconds:6.1f} s"
        click.echo(f"{took}  {leg.name}{f': {leg.detail}' if leg.detail else ''}")

    store = open_store(clickhouse)
    try:
        found = Runner(store, otlp, alertmanager=alertmanager).run(name, timeout, (lambda _: None) if as_json else tell)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif not found.arrived:
        click.echo(f"{name}: lost at the leg above; is that part running, and does it see this database?", err=True)
    if not found.arrived:
        raise SystemExit(1)
