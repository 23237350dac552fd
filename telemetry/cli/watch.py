"""``edgepath watch``: evaluate the SLOs on a ClickHouse server, page when a budget burns."""

import contextlib
import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from telemetry.cli.addresses import address
from telemetry.cli.clickhouse_options import clickhouse_options
from telemetry.cli.duration import Duration
from telemetry.cli.logs import say
from telemetry.cli.names import Name
from telemetry.cli.page_options import page_options
from telemetry.cli.settings import Configured, setting
from telemetry.cli.slo_options import slo_options
from telemetry.cli.stopping import stopped_by_signals
from telemetry.errors import ConfigurationError, EdgepathError

if TYPE_CHECKING:
    from alerts.notify import Notifier
    from alerts.page import PageEvent
    from alerts.slos import Catalog
    from alerts.watch import Watcher
    from telemetry.store.address import ServerAddress

_log = logging.getLogger(__name__)
_ANSWER_SECONDS: Final = 60.0
"""So long a statement may wait on a line that broke without a word, also when a new one would do. No page waits for it."""

_ONLY_HERE: Final = (
    "nobody but this screen is told what cannot be seen (ClickHouse away, no telemetry), and of SLOs whose alert policies "
    "name no notification target: give --alertmanager, --pagerduty, --slack or --webhook"
)
_LEFT: Final = "open alerts and what was not sent are written down, and the next watcher goes on with them"


@click.command(cls=Configured, runs_on=True)
@clickhouse_options()
@setting("--data", type=click.Path(path_type=Path), help="Data directory of an embedded store, instead of a server.")
@slo_options
@page_options("webhooks", "alertmanagers", "pagerduties", "slacks", "heartbeats")
@setting(
    "--pagerduty-url",
    table="pages",
    metavar="URL",
    envvar="EDGEPATH_PAGERDUTY_URL",
    help="Where PagerDuty takes events, e.g. of its EU region.",
)
@setting(
    "--watchdog/--no-watchdog",
    table="pages",
    default=True,
    help="Send Alertmanagers EdgepathWatchdog, which always fires, as a dead-man's switch.",
)
@setting(
    "--dashboards",
    table="pages",
    metavar="URL",
    default="",
    envvar="EDGEPATH_DASHBOARDS",
    help="Base URL of Grafana or of Edgepath's page, for links.",
)
@setting(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("edgepath-watch.json"),
    help="File that keeps open alerts across restarts; of a watcher that shares its state, only that ClickHouse is away.",
)
@setting(
    "--share-state/--own-state",
    default=True,
    help="Keep open alerts in ClickHouse, so that several watchers may run (servers only); or in the file alone.",
)
@setting("--interval", type=Duration(), help="Time between evaluations; the policy's if not given.")
@setting(
    "--blind-after",
    type=Duration(),
    default="1m",
    help="Page when ClickHouse has not answered for so long.",
)
@setting(
    "--drain",
    type=Duration(zero=True),
    default="20s",
    help="When stopped: how long the evaluation that runs and what waits to be sent may take.",
)
@setting(
    "--observe",
    default="off",
    metavar="HOST:PORT",
    envvar="EDGEPATH_WATCH_OBSERVE",
    help="Prometheus metrics under /metrics, probes under /healthz and /readyz, and /peer for other watchers.",
)
@page_options("peers")
@setting(
    "--deployment",
    type=Name(),
    metavar="NAME",
    default="",
    help="Name of this Edgepath in its pages, where several page the same people; the same for all watchers of one.",
)
@click.option("--once", is_flag=True, help="Evaluate once, deliver, and end.")
def watch(
    clickhouse: "ServerAddress | None",
    data: Path | None,
    slos: tuple[Path, ...],
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
    drain: float,
    observe: str,
    peers: tuple[str, ...],
    deployment: str,
    once: bool,
) -> None:
    """Evaluate SLOs and page: the screen, Alertmanagers, PagerDuty, Slack, webhooks, and the SLOs' own OpenSLO targets.

    Run two for high availability: they share their state in ClickHouse, and a page is sent by one of them. With --observe and
    --peer they also agree who tells that ClickHouse itself is away; else each of them does.

    URLs and keys may hold secrets: files of their own (--slack-file, --pagerduty-file and so on), variables (EDGEPATH_SLACK,
    EDGEPATH_PAGERDUTY and so on) and the settings file keep them off the command line.

    \b
    Example:
      edgepath watch --clickhouse clickhouse://db:9000/edgepath \\
          --alertmanager http://am-1:9093 --alertmanager http://am-2:9093
    """
    from alerts import notify, policies  # noqa: PLC0415 - the command line starts fast for those who do not watch
    from alerts import slos as slo_files  # noqa: PLC0415
    from alerts.document import ProblemsError  # noqa: PLC0415
    from alerts.edge_counters import EdgeCounters  # noqa: PLC0415
    from alerts.lint import lint  # noqa: PLC0415
    from alerts.lookout import lookout  # noqa: PLC0415
    from alerts.memory import TableMemory  # noqa: PLC0415
    from alerts.notify.http import checked  # noqa: PLC0415
    from alerts.peer_http import asking  # noqa: PLC0415
    from alerts.watch import Watcher  # noqa: PLC0415
    from telemetry.app.watch_view import observed  # noqa: PLC0415
    from telemetry.store import open_store  # noqa: PLC0415
    from telemetry.store.later import LaterStore  # noqa: PLC0415

    catalog, rules = slo_files.load_catalog(slos or None), policies.load(policy)
    if problems := lint(catalog.slos, rules):
        raise ProblemsError(problems)
    if dashboards:
        checked(dashboards, "the base URL of Grafana or of Edgepath's page (--dashboards); write https://HOST")
    notifiers: list[Notifier] = [notify.CallbackNotifier(_tell, _here())]
    notifiers += _notifiers(catalog, webhooks, alertmanagers, pagerduties, pagerduty_url, slacks)
    notifiers += [notify.heartbeat(url, deployment=deployment) for url in heartbeats]
    notifiers += [notify.heartbeat(url, watchdog=True, deployment=deployment) for url in alertmanagers if watchdog]
    # A watcher that starts while ClickHouse is away is there to say so.
    later = LaterStore(lambda: open_store(clickhouse, data, answer_seconds=_ANSWER_SECONDS))
    with stopped_by_signals(drain, _LEFT) as stopping, contextlib.closing(later) as store:
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
            peers=[asking(url) for url in peers],
            deployment=deployment,
        )
        every = interval or rules.interval_seconds
        with (
            observed(address(observe), watcher, max(blind_after, 3 * every)) as url,
            lookout(later.silent_seconds, watcher.waiting, blind_after, every),
        ):
            if url:
                say(f"metrics, probes and /peer at {url}", url=url)
            later.open()
            if not once:
                say(f"watching {', '.join(s.name for s in catalog.slos)} by policy {rules.name}")
                if not (webhooks or alertmanagers or pagerduties or slacks):
                    _log.warning(_ONLY_HERE)
            _loop(watcher, stopping, every, once=once)


def _tell(event: "PageEvent") -> None:
    say(event.text, kind=event.kind, severity=event.severity, slo=event.slo, pop=event.pop, tier=event.tier)


def _here() -> str:
    """The screen's name among receivers: another watcher's screen is another one."""
    from alerts.notify.callback import SCREEN  # noqa: PLC0415

    return f"{SCREEN}{socket.gethostname()}:{os.getpid()}"


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
        raise ConfigurationError(
            "--pagerduty-url needs a routing key; give --pagerduty-file, EDGEPATH_PAGERDUTY or --pagerduty"
        )
    made: list[Notifier] = [notify.webhook(url) for url in webhooks]
    made += [notify.alertmanager(url) for url in alertmanagers]
    made += [notify.pagerduty(key, *([pagerduty_url] if pagerduty_url else [])) for key in pagerduties]
    made += [notify.slack(url) for url in slacks]
    return [*made, *notify.for_targets(catalog.used_targets)]


def _loop(watcher: "Watcher", stopping: threading.Event, interval_seconds: float, *, once: bool) -> None:
    """Evaluate at a steady beat; what fails, be it the store or a defect of ours, is told and tried again."""
    due = time.monotonic()
    try:
        while not stopping.is_set():
            try:
                watcher.evaluate(time.time())
            except EdgepathError as error:
                if once:
                    raise
                _log.error("not evaluated, alerts stay as they are: %s", error)
            except Exception:
                if once:
                    raise
                _log.exception("not evaluated, alerts stay as they are; this is a defect of Edgepath, please report it")
            if once:
                return
            due = max(due + interval_seconds, time.monotonic())
            stopping.wait(due - time.monotonic())
    finally:
        watcher.close()
