"""``edgepath up``: everything in one process."""

import json
import logging
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from telemetry.cli import logs
from telemetry.cli.duration import Duration
from telemetry.cli.kafka_options import SECURITY_NAMES, kafka_security_options, kafka_settings
from telemetry.cli.page_options import page_options
from telemetry.cli.settings import Configured, setting
from telemetry.cli.slo_options import slos_option
from telemetry.cli.stopping import stopped_by_signals
from telemetry.errors import EdgepathError

if TYPE_CHECKING:
    from telemetry.app.up import Up
    from telemetry.demo.settings import DemoSettings
    from telemetry.feeds.kafka import KafkaSettings

_log = logging.getLogger(__name__)
_PORT = click.IntRange(0, 65535)


@click.command(cls=Configured, runs_on=True)
@click.option("--demo", is_flag=True, help="Start a demo fleet (real Envoys) with an incident after a minute.")
@click.option("--for", "run_for", type=Duration(), help="Stop by itself after so long (150s, 5m). With --demo, report.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="With --demo: write the report here, as JSON."
)
@setting(
    "--data",
    type=click.Path(path_type=Path),
    show_default="edgepath-data, edgepath-data/demo with --demo",
    help="Data directory.",
)
@setting("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@setting("--grpc-port", type=_PORT, metavar="PORT", default=4317, help="OTLP/gRPC; 0 takes a free port.")
@setting("--http-port", type=_PORT, metavar="PORT", default=4318, help="OTLP/HTTP; 0 takes a free port.")
@setting(
    "--web-port", type=_PORT, metavar="PORT", default=8080, help="The page with the dashboards; 0 takes a free port."
)
@slos_option
@setting(
    "--policy",
    table="slo",
    envvar="EDGEPATH_POLICY",
    metavar="NAME",
    show_default="workbook, demo with --demo",
    help="Burn-rate policy: a shipped one's name, or a file.",
)
@page_options("webhooks", "alertmanagers")
@setting(
    "--kafka",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help="Put Kafka between receiver and engine; without an address, start one (needs Java 17 and Maven).",
)
@kafka_security_options
@click.option("--rate", metavar="N", default=25.0, show_default=True, help="With --demo: requests a second.")
@click.option(
    "--incident-after", type=Duration(), default="60s", show_default=True, help="With --demo: when it breaks."
)
@click.option("--incident-for", type=Duration(), default="35s", show_default=True, help="With --demo: for how long.")
@click.option("--seed", metavar="N", default=1, show_default=True, help="With --demo: seed of all that is drawn.")
def up(**options: Any) -> None:
    """Everything in one process: OTLP in, paths, dashboards and pages out.

    Point any OpenTelemetry source at the OTLP ports and open the page. What was acknowledged is in a journal on disk and
    survives a crash. Stop with Ctrl-C; start again on the same data directory and it goes on.

    \b
    edgepath up --demo                                     look at it
    edgepath up --demo --for 150s --report report.json     without a person
    edgepath up --webhook https://example.org/pages        for real, on one machine
    """
    from telemetry.app.settings import UpSettings  # noqa: PLC0415 - loads the engine
    from telemetry.app.up import Up  # noqa: PLC0415
    from telemetry.cli.screen import screen_for  # noqa: PLC0415

    demo: bool = options["demo"]
    if options["report"] and not (demo and options["run_for"]):
        raise click.UsageError(
            "--report goes with --demo and --for: edgepath up --demo --for 150s --report report.json"
        )
    settings = UpSettings(
        data=options["data"] or Path("edgepath-data/demo" if demo else "edgepath-data"),
        host=options["host"],
        grpc_port=options["grpc_port"],
        http_port=options["http_port"],
        web_port=options["web_port"],
        slos=options["slos"],
        policy=options["policy"] or ("demo" if demo else "workbook"),
        webhooks=options["webhooks"],
        alertmanagers=options["alertmanagers"],
        demo=_demo(options) if demo else None,
        run_seconds=options["run_for"],
        kafka=_kafka(options),
    )
    screen = screen_for(as_json=logs.as_json())
    with stopped_by_signals() as stopping:
        with Up(settings, screen.page, screen.incident, screen.progress) as running:
            screen.where(running)
            _watch_until_done(running, screen, stopping)
            if demo and settings.run_seconds:
                report = running.finish_demo()
                screen.report(report)
                if options["report"]:
                    options["report"].write_text(json.dumps(report, indent=2) + "\n")
                    screen.progress(f"report written to {options['report']}")
            screen.progress("stopping")
        screen.progress("stopped; nothing is left running")


def _kafka(options: dict[str, Any]) -> "KafkaSettings | str | None":
    """Where Kafka is; empty for one of our own, which speaks plain text; None for the journal."""
    address: str | None = options["kafka"]
    if address:
        made: KafkaSettings = kafka_settings(address, options)
        return made
    ctx = click.get_current_context()
    given = [name for name in SECURITY_NAMES if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with --kafka HOST:PORT")
    return address


def _demo(options: dict[str, Any]) -> "DemoSettings":
    from telemetry.demo.settings import DemoSettings  # noqa: PLC0415

    return DemoSettings(
        rate=options["rate"],
        seed=options["seed"],
        incident_after_seconds=options["incident_after"],
        incident_seconds=options["incident_for"],
    )


def _watch_until_done(running: "Up", screen: Any, stopping: threading.Event) -> None:
    until = time.monotonic() + running.settings.run_seconds if running.settings.run_seconds else None
    problem = ""
    with screen.live() or nullcontext():
        while not stopping.wait(1.0):
            running.check()
            try:
                screen.line(running.facts(), running.recent)
                problem = ""
            except EdgepathError as error:  # a figure for the screen ends nothing
                if str(error) != problem:
                    problem = str(error)
                    _log.warning("the live line cannot be drawn: %s", problem)
            if until is not None and time.monotonic() >= until:
                return
