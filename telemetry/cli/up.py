"""``edgepath up``: everything in one process."""

import json
import signal
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from telemetry.cli.duration import Duration

if TYPE_CHECKING:
    from telemetry.app.up import Up
    from telemetry.demo.settings import DemoSettings


@click.command()
@click.option("--demo", is_flag=True, help="Start a demo fleet (real Envoys) with an incident after a minute.")
@click.option(
    "--for",
    "run_for",
    type=Duration(),
    metavar="TIME",
    help="Stop by itself after so long (150s, 5m). With --demo, report.",
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="With --demo: write the report here, as JSON."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Data directory.  [default: edgepath-data, edgepath-data/demo with --demo]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--grpc-port", default=4317, show_default=True, help="OTLP/gRPC; 0 takes a free port.")
@click.option("--http-port", default=4318, show_default=True, help="OTLP/HTTP; 0 takes a free port.")
@click.option("--web-port", default=8080, show_default=True, help="The page with the dashboards; 0 takes a free port.")
@click.option(
    "--slos",
    type=click.Path(path_type=Path),
    multiple=True,
    help="SLO file or directory; the shipped ones if not given.",
)
@click.option(
    "--policy", help="Burn-rate policy: a shipped one's name or a file.  [default: workbook; demo with --demo]"
)
@click.option(
    "--webhook", "webhooks", multiple=True, metavar="URL", envvar="EDGEPATH_WEBHOOK", help="Post pages here, too."
)
@click.option(
    "--alertmanager",
    "alertmanagers",
    multiple=True,
    metavar="URL",
    envvar="EDGEPATH_ALERTMANAGER",
    help="Send pages here, too.",
)
@click.option(
    "--kafka",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help="Put Kafka between receiver and engine; without an address, start one (needs Java 17 and Maven).",
)
@click.option("--rate", default=25.0, show_default=True, help="With --demo: requests a second.")
@click.option(
    "--incident-after",
    type=Duration(),
    default="60s",
    show_default=True,
    metavar="TIME",
    help="With --demo: when it breaks.",
)
@click.option(
    "--incident-for",
    type=Duration(),
    default="35s",
    show_default=True,
    metavar="TIME",
    help="With --demo: for how long.",
)
@click.option("--seed", default=1, show_default=True, help="With --demo: seed of all that is drawn.")
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
    from telemetry.cli.screen import Screen  # noqa: PLC0415

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
        kafka=options["kafka"],
    )
    screen = Screen()
    stopping = threading.Event()
    _on_signals(stopping)
    running = Up(settings, screen.page, screen.incident, screen.progress)
    with running:
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
    with screen.live() or nullcontext():
        while not stopping.wait(1.0):
            running.check()
            screen.line(running.facts(), running.recent)
            if until is not None and time.monotonic() >= until:
                return


def _on_signals(stopping: threading.Event) -> None:
    def stop(*_: object) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt  # the second Ctrl-C means now
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
