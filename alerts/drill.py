"""A synthetic incident through the real pipeline: does a page arrive, and how long does each leg take?

It sends failed requests as OTLP spans of an edge of its own (environment ``edgepath-drill``, a PoP named after the drill),
looks for them where they must turn up, one after the other, then sends good ones so that the alert resolves, and cleans up.
No real SLO counts that environment, and the drill's own SLO counts nothing else (:mod:`alerts.drill_slo`).
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from alerts.drill_slo import DRILL
from alerts.memory import Delivery, TableMemory
from alerts.notify.callback import SCREEN
from alerts.notify.http import shown
from alerts.page import PageEvent
from alerts.paths_sql import count
from alerts.slos.model import DRILL_ENVIRONMENT
from telemetry import vocabulary as names
from telemetry.errors import UnavailableError
from telemetry.store.base import Store
from telemetry.store.tables import HOP_1M, PATH_1M, REQUEST_PATHS, SLI_1M

BAD: Final = 10
GOOD: Final = 60
ROUTE: Final = "/edgepath/drill"
_MS: Final = 1_000_000
_SETTLE_SECONDS: Final = 45.0
_OURS: Final = f"p.environment = '{DRILL_ENVIRONMENT}' AND p.pop = {{pop:String}}"


@dataclass
class Leg:
    """One leg of the way: how long it took from the sending on, None if it never came there."""

    name: str
    seconds: float | None = None
    detail: str = ""


@dataclass
class Drill:
    """One run.

    Attributes:
        id: names the drill, and its PoP.
        legs: in order; the first without a time is where it was lost.
    """

    id: str
    legs: list[Leg] = field(default_factory=list)

    @property
    def arrived(self) -> bool:
        """Whether every leg was done."""
        return bool(self.legs) and all(leg.seconds is not None for leg in self.legs)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        legs = [{"leg": leg.name, "seconds": leg.seconds, "detail": leg.detail} for leg in self.legs]
        return {"drill": self.id, "arrived": self.arrived, "legs": legs}


class Runner:
    """Runs drills against one deployment."""

    def __init__(
        self,
        store: Store,
        otlp_url: str,
        *,
        alertmanager: str = "",
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare.

        Args:
            store: the ClickHouse server that the pipeline and the watcher use.
            otlp_url: base of an OTLP/HTTP receiver, e.g. ``http://host:4318``.
            alertmanager: base of an Alertmanager that must show the alert; not looked at if empty.
            clock, wait: the time, and how to let it pass.
        """
        self._store = store
        self._otlp = f"{otlp_url.rstrip('/')}/v1/traces"
        self._alertmanager = alertmanager.rstrip("/")
        self._clock, self._wait = clock, wait
        self._memory = TableMemory(store)
        self._sent = 0

    def run(self, drill_id: str, timeout_seconds: float, on_leg: Callable[[Leg], None] = lambda _: None) -> Drill:
        """Send, follow, resolve, clean up. What did not arrive within ``timeout_seconds`` is left without a time.

        Raises:
            StoreError, UnavailableError: the store does not answer, or the receiver refused the spans.
        """
        drill = Drill(drill_id)
        begun = self._clock()
        try:
            self._send(drill_id, BAD, good=False)
            legs: list[tuple[str, Callable[[], str]]] = [
                ("accepted by the receiver", lambda: shown(self._otlp)),
                ("stored as request paths", lambda: self._stored(drill_id)),
                ("counted for the SLO", lambda: self._counted(drill_id)),
                ("decided by a watcher", lambda: self._page(drill_id)),
                ("taken by every receiver", lambda: self._taken(drill_id, "trigger")),
            ]
            if self._alertmanager:
                legs.append(("shown by Alertmanager", lambda: self._shown(drill_id)))
            legs.append(("resolved and told", lambda: self._resolved(drill_id)))
            for name, there in legs:
                leg = Leg(name)
                drill.legs.append(leg)
                if name.startswith("resolved"):
                    self._send(drill_id, GOOD, good=True)
                try:
                    detail = self._until(there, begun + timeout_seconds)
                except NotTakenError as error:
                    leg.detail, detail = str(error), None
                if detail is None:
                    on_leg(leg)
                    break
                leg.seconds, leg.detail = self._clock() - begun, detail
                on_leg(leg)
        finally:
            # What is still on its way would come after the cleaning.
            self._until(lambda: self._all_stored(drill_id), self._clock() + _SETTLE_SECONDS)
            self.clean(drill_id)
        return drill

    def clean(self, drill_id: str) -> None:
        """Remove what a drill left in the tables that people look at."""
        for table in (REQUEST_PATHS, PATH_1M, HOP_1M):
            sql = f"DELETE FROM {table} WHERE environment = '{DRILL_ENVIRONMENT}' AND pop = {{pop:String}}"  # noqa: S608
            self._store.execute(sql, {"pop": drill_id})
        sql = f"DELETE FROM {SLI_1M} WHERE slo = {{slo:String}} AND value = {{pop:String}}"  # noqa: S608
        self._store.execute(sql, {"slo": DRILL.name, "pop": drill_id})

    def _until(self, there: Callable[[], str], deadline: float) -> str | None:
        while not (detail := there()):
            if self._clock() >= deadline:
                return None
            self._wait(0.5)
        return detail

    def _send(self, drill_id: str, count: int, *, good: bool) -> None:
        body = requests(drill_id, count, self._clock(), good=good)
        try:
            answer = httpx.post(
                self._otlp, content=body, headers={"Content-Type": "application/x-protobuf"}, timeout=10
            )
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the OTLP receiver at {shown(self._otlp)} does not answer ({type(error).__name__})"
            ) from None
        if answer.status_code != httpx.codes.OK:
            raise UnavailableError(f"the OTLP receiver at {shown(self._otlp)} answered {answer.status_code}")
        self._sent += count

    def _all_stored(self, drill_id: str) -> str:
        sql = f"SELECT {count()} FROM {REQUEST_PATHS} AS p WHERE {_OURS}"  # noqa: S608 - names of ours
        return "all" if self._store.query(sql, {"pop": drill_id}).scalar() >= self._sent else ""

    def _stored(self, drill_id: str) -> str:
        bad_ones = count("p.outcome != 'ok'")
        sql = f"SELECT {count()}, {bad_ones} FROM {REQUEST_PATHS} AS p WHERE {_OURS}"  # noqa: S608 - names of ours
        paths, bad = self._store.query(sql, {"pop": drill_id}).rows[0]
        return f"{bad} bad of {paths}" if bad >= BAD else ""

    def _counted(self, drill_id: str) -> str:
        sql = f"SELECT toInt64(sum(total_paths)) FROM {SLI_1M} WHERE slo = {{slo:String}} AND value = {{pop:String}}"  # noqa: S608
        found = self._store.query(sql, {"slo": DRILL.name, "pop": drill_id}).scalar()
        return f"{found} events" if found else ""

    def _event(self, drill_id: str) -> PageEvent | None:
        events = [i.event for i in self._memory.load().incidents.values()]
        return next(
            (e for e in events if e.slo == DRILL.name and drill_id in (e.value, *(m.value for m in e.members))), None
        )

    def _page(self, drill_id: str) -> str:
        event = self._event(drill_id)
        return event.summary if event else ""

    def _taken(self, drill_id: str, kind: str) -> str:
        state = self._memory.load()
        if any(m.event.value == drill_id and m.event.kind == kind for m in state.outbox):
            return ""
        return taken([d for d in state.deliveries if f"/{drill_id}/" in d.event_id and f"/{kind}/" in d.event_id])

    def _shown(self, drill_id: str) -> str:
        filters = {"filter": [f'slo="{DRILL.name}"', f'pop="{drill_id}"']}
        try:
            answer = httpx.get(f"{self._alertmanager}/api/v2/alerts", params=filters, timeout=10)
            return "active" if answer.is_success and answer.json() else ""
        except (httpx.HTTPError, ValueError):
            return ""

    def _resolved(self, drill_id: str) -> str:
        return "resolved" if self._event(drill_id) is None and self._taken(drill_id, "resolve") else ""


class NotTakenError(Exception):
    """Nobody need wait any longer; says why."""


def taken(deliveries: Sequence[Delivery]) -> str:
    """Names of the receivers that took an event which nobody waits for any more.

    Raises:
        NotTakenError: one of them did not, or there is none but the watcher's own screen.
    """
    told = [d for d in deliveries if not d.receiver.startswith(SCREEN)]
    if lost := [f"{d.receiver}: {d.problem}" for d in told if d.problem]:
        raise NotTakenError("; ".join(lost))
    if not told:
        raise NotTakenError(
            "the watcher has no receiver but its screen: give it --alertmanager, --pagerduty or another"
        )
    return ", ".join(dict.fromkeys(d.receiver for d in told))


def requests(drill_id: str, count: int, now: float, *, good: bool) -> bytes:
    """OTLP bytes of so many requests that ended just now: at the edge with an error, or at the API and well."""
    spans: Mapping[tuple[str, str], list[Span]] = {
        ("edgepath-drill-edge", "edge"): [],
        ("edgepath-drill-api", "api"): [],
    }
    (edge, api) = spans.values()
    end = int(now * 1e9)
    for _ in range(count):
        trace, inbound, outbound, last = os.urandom(16), os.urandom(8), os.urandom(8), os.urandom(8)
        status = 200 if good else 503
        edge.append(_span(trace, inbound, b"", 2, end - 40 * _MS, end, status))
        edge.append(_span(trace, outbound, inbound, 3, end - 35 * _MS, end - 5 * _MS, status))
        if good:
            api.append(_span(trace, last, outbound, 2, end - 30 * _MS, end - 10 * _MS, status))
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(
                    attributes=[
                        _text(names.SERVICE_NAME, component),
                        _text(names.TIER, tier),
                        _text(names.POP, drill_id),
                        _text(names.ENVIRONMENT[0], DRILL_ENVIRONMENT),
                    ]
                ),
                scope_spans=[ScopeSpans(spans=some)],
            )
            for (component, tier), some in spans.items()
            if some
        ]
    ).SerializeToString()


def _span(trace: bytes, span: bytes, parent: bytes, kind: int, start: int, end: int, status: int) -> Span:
    attributes = [
        _text(names.METHOD[0], "GET"),
        _text(names.ROUTE[0], ROUTE),
        KeyValue(key=names.STATUS[0], value=AnyValue(int_value=status)),
    ]
    if status >= 500:
        attributes += [_text(names.ERROR_TYPE[0], str(status)), _text(names.RESPONSE_FLAGS[0], "UH")]
    return Span(
        trace_id=trace,
        span_id=span,
        parent_span_id=parent,
        kind=kind,  # type: ignore[arg-type]  # the enum's number
        name=ROUTE,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=attributes,
    )


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
