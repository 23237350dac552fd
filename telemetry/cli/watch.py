"""``edgepath watch``: evaluate the SLOs on a ClickHouse server, page when a budget burns."""

import logging
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from telemetry.errors import EdgepathError

if TYPE_CHECKING:
    from alerts.watch import Watcher

_log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--clickhouse", metavar="URL", envvar="EDGEPATH_CLICKHOUSE", help="ClickHouse server: clickhouse://HOST:9000/DB."
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data directory of an embedded store, instead of a server."
)
@click.option(
    "--slos", "folder", type=click.Path(path_type=Path), help="SLO file or directory; the shipped ones if not given."
)
@click.option(
    "--policy", default="workbook", show_default=True, help="Burn-rate policy: a shipped one's name, or a file."
)
@click.option(
    "--webhook",
    "webhooks",
    metavar="URL",
    multiple=True,
    envvar="EDGEPATH_WEBHOOK",
    help="Post pages as JSON; may be repeated.",
)
@click.option(
    "--alertmanager",
    "alertmanagers",
    metavar="URL",
    multiple=True,
    envvar="EDGEPATH_ALERTMANAGER",
    help="Alertmanager, e.g. http://host:9093; repeat for each of a cluster.",
)
@click.option(
    "--dashboards",
    metavar="URL",
    default="",
    envvar="EDGEPATH_DASHBOARDS",
    help="Base URL of Grafana or of Edgepath's page, for links.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("edgepath-watch.json"),
    show_default=True,
    help="File that keeps open alerts across restarts.",
)
@click.option(
    "--interval", type=click.FloatRange(min=0.1), help="Seconds between evaluations; the policy's if not given."
)
@click.option("--once", is_flag=True, help="Evaluate once, deliver, and end.")
def watch(
    clickhouse: str | None,
    data: Path | None,
    folder: Path | None,
    policy: str,
    webhooks: tuple[str, ...],
    alertmanagers: tuple[str, ...],
    dashboards: str,
    state: Path,
    interval: float | None,
    once: bool,
) -> None:
    """Evaluate SLOs and page: to the screen, to webhooks, to Alertmanagers.

    URLs may hold secrets: the environment variables EDGEPATH_CLICKHOUSE, EDGEPATH_WEBHOOK and EDGEPATH_ALERTMANAGER keep
    them off the command line.
    """
    from alerts import notify, policies, slos  # noqa: PLC0415 - the command line starts fast for those who do not watch
    from alerts.document import ProblemsError  # noqa: PLC0415
    from alerts.lint import lint  # noqa: PLC0415
    from alerts.watch import Watcher  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415

    try:
        wanted, rules = slos.load([folder] if folder else None), policies.load(policy)
        if problems := lint(wanted, rules):
            raise ProblemsError(problems)
        notifiers: list[notify.Notifier] = [notify.CallbackNotifier(lambda event: click.echo(event.text))]
        notifiers += [notify.webhook(url) for url in webhooks]
        notifiers += [notify.alertmanager(url) for url in alertmanagers]
        store = open_store(clickhouse, data)
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    try:
        watcher = Watcher(store, wanted, rules, notifiers, base_url=dashboards, state_file=state)
        stopping = threading.Event()
        if not once:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _stopper(stopping))
            click.echo(f"watching {', '.join(s.name for s in wanted)} by policy {rules.name}")
        _loop(watcher, stopping, interval or rules.interval_seconds, once=once)
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    finally:
        store.close()


def _stopper(stopping: threading.Event) -> "signal._HANDLER":
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        stopping.set()

    return stop


def _loop(watcher: "Watcher", stopping: threading.Event, interval_seconds: float, *, once: bool) -> None:
    """Evaluate at a steady beat; a store that does not answer is told and tried again."""
    due = time.monotonic()
    try:
        while not stopping.is_set():
            try:
                watcher.evaluate(time.time())
            except EdgepathError as error:
                if once:
                    raise
                _log.error("not evaluated, alerts stay as they are: %s", error)
            if once:
                return
            due = max(due + interval_seconds, time.monotonic())
            stopping.wait(due - time.monotonic())
    finally:
        watcher.close()
