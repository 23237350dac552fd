"""``edgepath watch``: evaluate the SLOs on a ClickHouse server, page when a budget burns."""

import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from telemetry.cli.duration import Duration
from telemetry.errors import ConfigurationError, EdgepathError

if TYPE_CHECKING:
    from alerts.notify import Notifier
    from alerts.slos import Catalog
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
    "--pagerduty",
    "pagerduties",
    metavar="KEY",
    multiple=True,
    envvar="EDGEPATH_PAGERDUTY",
    help="PagerDuty routing key (Events API v2); better given by the environment variable.",
)
@click.option("--pagerduty-url", metavar="URL", help="Where PagerDuty takes events, e.g. of its EU region.")
@click.option(
    "--slack",
    "slacks",
    metavar="URL",
    multiple=True,
    envvar="EDGEPATH_SLACK",
    help="Incoming webhook of Slack, Mattermost and their like; may be repeated.",
)
@click.option(
    "--heartbeat",
    "heartbeats",
    metavar="URL",
    multiple=True,
    envvar="EDGEPATH_HEARTBEAT",
    help="Dead-man's switch: POST here every minute while SLOs are evaluated; it pages when that stops.",
)
@click.option(
    "--watchdog/--no-watchdog",
    default=True,
    show_default=True,
    help="Send Alertmanagers EdgepathWatchdog, which always fires, as a dead-man's switch.",
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
    help="File that keeps open alerts across restarts; of a watcher that shares its state, only that ClickHouse is away.",
)
@click.option(
    "--share-state/--own-state",
    default=True,
    show_default=True,
    help="Keep open alerts in ClickHouse, so that several watchers may run (servers only); or in the file alone.",
)
@click.option(
    "--interval", type=click.FloatRange(min=0.1), help="Seconds between evaluations; the policy's if not given."
)
@click.option(
    "--blind-after",
    type=Duration(),
    default="1m",
    show_default=True,
    help="Page when ClickHouse has not answered for so long.",
)
@click.option("--once", is_flag=True, help="Evaluate once, deliver, and end.")
def watch(
    clickhouse: str | None,
    data: Path | None,
    folder: Path | None,
    policy: str,
    webhooks: tuple[str, ...],
    alertmanagers: tuple[str, ...],
    pagerduties: tuple[str, ...],
    pagerduty_url: str | None,
    slacks: tuple[str, ...],
    heartbeats: tuple[str, ...],
    watchdog: bool,
    dashboards: str,
    state: Path,
    share_state: bool,
    interval: float | None,
    blind_after: float,
    once: bool,
) -> None:
    """Evaluate SLOs and page: the screen, Alertmanagers, PagerDuty, Slack, webhooks, and the SLOs' own OpenSLO targets.

    Run two for high availability: they share their state in ClickHouse, and a page is sent by one of them.

    URLs and keys may hold secrets: the environment variables EDGEPATH_CLICKHOUSE, EDGEPATH_WEBHOOK, EDGEPATH_ALERTMANAGER,
    EDGEPATH_PAGERDUTY, EDGEPATH_SLACK and EDGEPATH_HEARTBEAT keep them off the command line.

    \b
    Example:
      edgepath watch --clickhouse clickhouse://db:9000/edgepath --alertmanager http://am-1:9093 --alertmanager http://am-2:9093
    """
    from alerts import notify, policies, slos  # noqa: PLC0415 - the command line starts fast for those who do not watch
    from alerts.document import ProblemsError  # noqa: PLC0415
    from alerts.edge_counters import EdgeCounters  # noqa: PLC0415
    from alerts.lint import lint  # noqa: PLC0415
    from alerts.memory import TableMemory  # noqa: PLC0415
    from alerts.watch import Watcher  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415
    from telemetry.store.later import LaterStore  # noqa: PLC0415

    try:
        catalog, rules = slos.load_catalog([folder] if folder else None), policies.load(policy)
        if problems := lint(catalog.slos, rules):
            raise ProblemsError(problems)
        notifiers: list[Notifier] = [notify.CallbackNotifier(lambda event: click.echo(event.text), _here())]
        notifiers += _notifiers(catalog, webhooks, alertmanagers, pagerduties, pagerduty_url, slacks)
        notifiers += [notify.heartbeat(url) for url in heartbeats]
        notifiers += [notify.heartbeat(url, watchdog=True) for url in alertmanagers if watchdog]
        # A watcher that starts while ClickHouse is away is there to say so.
        store = LaterStore(lambda: open_store(clickhouse, data))
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    try:
        watcher = Watcher(
            store,
            catalog.slos,
            rules,
            notifiers,
            base_url=dashboards,
            state_file=state,
            memory=TableMemory(store) if clickhouse and share_state else None,
            blindness=True,
            drills=True,
            counters=EdgeCounters(store),
            blind_seconds=blind_after,
            keep_events=True,
        )
        stopping = threading.Event()
        if not once:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _stopper(stopping))
            click.echo(f"watching {', '.join(s.name for s in catalog.slos)} by policy {rules.name}")
        _loop(watcher, stopping, interval or rules.interval_seconds, once=once)
    except EdgepathError as error:
        raise click.ClickException(str(error)) from error
    finally:
        store.close()


def _here() -> str:
    """The screen's name among receivers: another watcher's screen is another one."""
    return f"screen of {socket.gethostname()}:{os.getpid()}"


def _notifiers(
    catalog: "Catalog",
    webhooks: tuple[str, ...],
    alertmanagers: tuple[str, ...],
    pagerduties: tuple[str, ...],
    pagerduty_url: str | None,
    slacks: tuple[str, ...],
) -> "list[Notifier]":
    from alerts import notify  # noqa: PLC0415

    if pagerduty_url and not pagerduties:
        raise ConfigurationError("--pagerduty-url needs a routing key; give EDGEPATH_PAGERDUTY or --pagerduty")
    made: list[Notifier] = [notify.webhook(url) for url in webhooks]
    made += [notify.alertmanager(url) for url in alertmanagers]
    made += [notify.pagerduty(key, *([pagerduty_url] if pagerduty_url else [])) for key in pagerduties]
    made += [notify.slack(url) for url in slacks]
    used = {name for slo in catalog.slos for a in slo.alerting for name in a.targets}
    return [*made, *notify.for_targets(t for t in catalog.targets if t.name in used)]


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
