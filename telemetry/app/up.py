"""Everything in one process: receiver, journal (or Kafka), engine, embedded ClickHouse, SLO watcher, web page.

Started from the store outwards and stopped from the senders inwards, so that whoever can send has somebody who listens.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from alerts import notify, policies, slos
from alerts.document import ProblemsError
from alerts.lint import lint
from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.app.settings import UpSettings
from telemetry.app.ways import Way, Ways
from telemetry.app.workers import WatchLoop, Worker
from telemetry.demo.fleet import DemoFleet
from telemetry.demo.incident import IncidentTimes, run_incident_script
from telemetry.demo.report import PageRecord, build_report
from telemetry.engine.metrics import MetricSettings
from telemetry.errors import EdgepathError
from telemetry.feeds.journal import Journal
from telemetry.feeds.otlp import Counters, GrpcReceiver, HttpReceiver
from telemetry.pipeline.metrics import MetricPipeline
from telemetry.pipeline.pipeline import Pipeline, Status
from telemetry.pipeline.settings import MetricPipelineSettings, PipelineSettings
from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from telemetry.web.app import create_app
from telemetry.web.server import WebServer

JOURNAL_TOPIC: Final = "journal"
METRICS_JOURNAL_TOPIC: Final = "journal-metrics"
_METRICS_JOURNAL_BYTES: Final = 256 * 1024 * 1024
_DRAIN_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Facts:
    """What the screen shows at one moment."""

    pipeline: Status
    spans_received: int
    open_pages: Sequence[PageEvent]
    troubles: Sequence[str]

    @property
    def trouble(self) -> str:
        """All that does not go as it should, in one line; empty while all is well."""
        return "; ".join(self.troubles)


class Up:
    """A running ``edgepath up``. Use it as a context manager; one thread."""

    def __init__(
        self,
        settings: UpSettings,
        on_page: Callable[[PageEvent], None] = lambda _: None,
        on_incident: Callable[[IncidentTimes], None] = lambda _: None,
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare.

        Args:
            settings: see there.
            on_page: called for every page and resolve, from the watcher's thread.
            on_incident: called when the demo's incident begins and ends, from its thread.
            on_progress: told what is being started, for the impatient.
        """
        self.settings = settings
        self.policy = policies.load(settings.policy)
        catalog = slos.load_catalog(settings.slos or (_demo_slos() if settings.demo else None))
        self.slos = list(catalog.slos)
        self._targets = notify.for_targets(catalog.used_targets)
        if problems := lint(self.slos, self.policy):
            raise ProblemsError(problems)
        self._on_page = on_page
        self._on_incident = on_incident
        self._progress = on_progress
        self._pages: list[PageRecord] = []
        self._parts = contextlib.ExitStack()
        self._workers: list[Worker] = []
        self.fleet: DemoFleet | None = None
        self.where: list[tuple[str, str]] = []

    def __enter__(self) -> "Up":
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    # --- starting -------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        s = self.settings
        self._progress("opening the embedded ClickHouse")
        chdb = ChdbEngine(s.data / "clickhouse", "edgepath")
        self.store = EmbeddedStore(chdb)
        self._parts.callback(self.store.close)
        schema.apply(self.store)

        ways = self._ways()
        self.counters = Counters()
        spans, points = ways.spans.sink, ways.metrics.sink
        grpc = GrpcReceiver(spans, s.host, s.grpc_port, counters=self.counters, metrics=points)
        http = HttpReceiver(spans, s.host, s.http_port, counters=self.counters, metrics=points)
        self.pipeline = Pipeline(ways.spans.feed, self.store, PipelineSettings(s.engine), topic=ways.spans.topic)
        self._parts.callback(self.pipeline.close)
        settings = MetricPipelineSettings(MetricSettings(s.engine.tiers))
        self.metrics = MetricPipeline(ways.metrics.feed, self.store, settings, topic=ways.metrics.topic)
        self._parts.callback(self.metrics.close)

        page = create_app(
            self.store, status=self._status, pages=self._open_pages, troubles=lambda: self.facts().troubles
        )
        web = WebServer(page, s.host, s.web_port)
        # The page is bound first, for its real port is in every page's link.
        self._watch: WatchLoop | None = None
        web.start()
        self._parts.callback(web.stop)
        self.web_url = web.url
        self._watch = self._watcher(web.url)
        self._watch.step()  # creates the SLOs' views before the first path is stored

        self._work("watch", self._watch.run)
        self._work("pipeline", self.pipeline.run)
        self._work("metrics", self.metrics.run)
        grpc.start()
        self._parts.callback(grpc.stop)
        http.start()
        self._parts.callback(http.stop)
        self.where += [
            ("dashboards", web.url),
            ("OTLP/gRPC", f"{grpc.host}:{grpc.port}"),
            ("OTLP/HTTP", f"http://{http.host}:{http.port}/v1/traces and /v1/metrics"),
            ("data", str(s.data.resolve())),
        ]
        if s.demo is not None:
            self._start_demo(f"{grpc.host}:{grpc.port}")

    def _ways(self) -> Ways:
        s = self.settings
        if s.kafka is None:
            spans, metrics = Journal(s.data), Journal(s.data / "metrics", max_bytes=_METRICS_JOURNAL_BYTES)
            for journal in (spans, metrics):
                journal.open()
                self._parts.callback(journal.close)
            return Ways(Way(spans, spans, JOURNAL_TOPIC), Way(metrics, metrics, METRICS_JOURNAL_TOPIC))
        from telemetry.app.kafka import open_kafka  # noqa: PLC0415 - only who asks for Kafka needs its client

        return self._parts.enter_context(open_kafka(s.kafka, s.data, self.where, self._progress))

    def _watcher(self, web_url: str) -> WatchLoop:
        s = self.settings
        notifiers: list[notify.Notifier] = [notify.CallbackNotifier(self._paged)]
        notifiers += [notify.webhook(url) for url in s.webhooks]
        notifiers += [notify.alertmanager(url) for url in s.alertmanagers]
        notifiers += self._targets
        watcher = Watcher(
            self.store,
            self.slos,
            self.policy,
            notifiers,
            base_url=web_url.rstrip("/"),
            state_file=s.data / "watch.json",
        )
        self._parts.callback(watcher.close)
        return WatchLoop(watcher, self.policy.interval_seconds)

    def _start_demo(self, otlp: str) -> None:
        settings = self.settings.demo
        assert settings is not None  # noqa: S101 - only called with one
        self._progress("starting the demo: Envoy PoPs and balancer, gateway, API, load")
        fleet = DemoFleet(settings, otlp, self.settings.data / "demo")
        fleet.start()
        self._parts.callback(fleet.stop)
        self.fleet = fleet

        def script(stop: threading.Event) -> None:
            run_incident_script(fleet, settings, stop.wait, self._on_incident)

        self._work("incident", script)

    def _work(self, name: str, work: Callable[[threading.Event], object]) -> None:
        worker = Worker(name, work).start()
        self._parts.callback(worker.stop)
        self._workers.append(worker)

    # --- while it runs --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise if a part has died.

        Raises:
            EdgepathError: what happened, in a line.
        """
        for worker in self._workers:
            worker.check()
        if self.fleet is not None:
            self.fleet.check()

    def facts(self) -> Facts:
        """What to show now."""
        watch = self._watch
        status = self.pipeline.status()
        return Facts(
            pipeline=status,
            spans_received=self.counters.snapshot().spans,
            open_pages=watch.open_pages() if watch else (),
            troubles=(
                *status.troubles,
                *([f"the evaluation of SLOs failed: {watch.trouble}"] if watch and watch.trouble else ()),
                *([f"metrics are not stored: {lost}"] if (lost := self.metrics.status().trouble) else ()),
            ),
        )

    def recent(self, seconds: int = 15) -> tuple[float, float | None, float | None]:
        """(requests a second, p50 and p99 edge time in ms) of the paths stored in the last ``seconds``."""
        row = self.store.query(
            "SELECT sum(weight), quantilesBFloat16Weighted(0.5, 0.99)(edge_ns, toUInt64(round(weight * 1000))) "
            "FROM request_paths WHERE stored > now64(3) - {s:UInt32} AND start > now64(3) - 3600 AND sign = 1 AND version = 1",
            {"s": seconds},
        ).rows[0]
        if not row[0]:
            return 0.0, None, None
        return float(row[0]) / seconds, row[1][0] / 1e6, row[1][1] / 1e6

    def finish_demo(self) -> dict[str, Any]:
        """Stop the load, wait until everything sent is stored, and report.

        Raises:
            EdgepathError: the store cannot be asked.
        """
        fleet = self.fleet
        if fleet is None:
            raise EdgepathError("there is no demo to report on")
        self._progress("stopping the load")
        fleet.stop_load()
        self._progress("waiting until every path is stored")
        deadline = time.monotonic() + _DRAIN_SECONDS
        for _ in self._until_quiet():
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        return build_report(
            self.store, fleet.sent(), tuple(self._pages), fleet.incident, self.counters.snapshot().spans
        )

    def _until_quiet(self) -> Iterator[None]:
        """Yields as long as spans wait anywhere; quiet must hold for longer than a flush."""
        quiet_since: float | None = None
        while True:
            status = self.pipeline.status()
            busy = status.open_spans or status.waiting_batches or status.lag
            now = time.monotonic()
            quiet_since = None if busy else (quiet_since or now)
            if quiet_since is not None and now - quiet_since > 2.0:
                return
            yield

    def _paged(self, event: PageEvent) -> None:
        at = datetime.fromtimestamp(event.at, UTC)
        if event.kind == "trigger":
            self._pages.append(PageRecord(slo=event.slo, pop=event.pop, tier=event.tier, fired=at))
        else:
            for place, page in enumerate(self._pages):
                if (page.slo, page.pop) == (event.slo, event.pop) and page.resolved is None:
                    self._pages[place] = PageRecord(page.slo, page.pop, page.tier, page.fired, at)
        self._on_page(event)

    def _status(self) -> dict[str, str]:
        facts = self.facts()
        p = facts.pipeline
        told = {
            "paths": f"{p.paths:,}",
            "spans": f"{p.spans:,}",
            "late": f"{p.late_spans:,}",
            "points": f"{self.metrics.status().points:,}",
            "policy": self.policy.name,
        }
        return {**told, "trouble": facts.trouble} if facts.trouble else told

    def _open_pages(self) -> list[dict[str, Any]]:
        watch = self._watch
        return [
            {
                "slo": e.slo,
                "severity": e.severity,
                "summary": e.summary,
                "since": datetime.fromtimestamp(e.started, UTC).isoformat(),
                "link": e.dashboard_url.removeprefix(self.web_url.rstrip("/")),
            }
            for e in (watch.open_pages() if watch else ())
        ]


def _demo_slos() -> list[Path]:
    """The shipped SLOs, each replaced by the demo's own of the same name if there is one."""
    own = {path.name: path for path in Path(str(resources.files("telemetry.demo"))).joinpath("slos").glob("*.yaml")}
    return [own.get(path.name, path) for path in slos.shipped()]
