"""The demo's report: what was sent against what is stored, and which pages were false."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telemetry.demo.incident import IncidentTimes
from telemetry.demo.ledger import Sent
from telemetry.demo.report import PageRecord, build_report, count_false_pages, summarize
from telemetry.store.base import Parameter, Result
from tests.support.unused_store import UnusedStore

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INCIDENT = IncidentTimes("fra", "edge", START, START + timedelta(seconds=35))


class StoredPaths(UnusedStore):
    """A store that holds these paths, one row a trace as the report's query groups them, and counts its queries."""

    def __init__(self, *rows: tuple[str, int, bool, str, str, str, float]) -> None:
        self._rows = {row[0]: row for row in rows}
        self.queries = 0

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """The rows of the traces asked for."""
        assert "request_paths" in sql
        assert parameters is not None
        traces = parameters["traces"]
        assert isinstance(traces, list)
        self.queries += 1
        return Result((), [self._rows[trace] for trace in traces if trace in self._rows])


def trace(number: int) -> str:
    """A trace id."""
    return f"{number:032x}"


def sent(*numbers: int) -> list[Sent]:
    """A ledger of these traces."""
    return [Sent(trace(number), "fra", 0.0) for number in numbers]


def page(seconds: float = 20, **changes: Any) -> PageRecord:
    """A page of the incident, so many seconds after its start."""
    fields = {"slo": "edge-availability", "pop": "fra", "tier": "edge", "fired": START + timedelta(seconds=seconds)}
    return PageRecord(**{**fields, **changes})


def test_the_keys_are_those_that_readers_know() -> None:
    """The report is read by machines: exactly these keys."""
    report = build_report(StoredPaths(), [], [], None, 0)
    assert set(report) == {
        *("requests_sent", "spans_received", "paths_stored", "paths_complete", "paths_lost", "paths_doubled"),
        *("outcomes", "blamed", "pages", "false_pages", "freshness_seconds"),
    }
    assert set(report["freshness_seconds"]) == {"p50", "p99"}


def test_lost_doubled_and_incomplete_paths_are_counted() -> None:
    """Four sent: one fine, one twice, one with a gap, one not there."""
    store = StoredPaths(
        (trace(1), 1, True, "ok", "", "", 1.0),
        (trace(2), 2, True, "edge_error", "fra", "edge", 2.0),
        (trace(3), 1, False, "ok", "", "", 3.0),
        (trace(9), 1, True, "ok", "", "", 99.0),
    )
    report = build_report(store, sent(1, 2, 3, 4), [], None, 30)
    assert report["requests_sent"] == 4
    assert report["spans_received"] == 30
    assert report["paths_stored"] == 3
    assert report["paths_complete"] == 2
    assert report["paths_lost"] == 1
    assert report["paths_doubled"] == 1
    assert report["outcomes"] == {"ok": 2, "edge_error": 1}
    assert report["blamed"] == {"fra/edge": 1}
    assert report["freshness_seconds"] == {"p50": 2.0, "p99": 3.0}


def test_a_long_ledger_is_asked_for_in_parts() -> None:
    """A query's parameter stays bounded however long the run was."""
    store = StoredPaths()
    assert build_report(store, sent(*range(12_001)), [], None, 0)["paths_lost"] == 12_001
    assert store.queries == 3


def test_page_times_count_from_the_incident() -> None:
    """To the page from the start, to the resolve from the end."""
    record = page(22.5, resolved=START + timedelta(seconds=50))
    report = build_report(StoredPaths(), [], [record], INCIDENT, 0)
    assert report["pages"] == [
        {
            "slo": "edge-availability",
            "pop": "fra",
            "tier": "edge",
            "seconds_to_page": 22.5,
            "seconds_to_resolve": 15.0,
        }
    ]
    assert report["false_pages"] == 0


def test_a_page_that_has_not_resolved_says_so() -> None:
    """Null, not zero."""
    report = build_report(StoredPaths(), [], [page()], INCIDENT, 0)
    assert report["pages"][0]["seconds_to_resolve"] is None


RESOLVED = START + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("pages", "false"),
    [
        ([], 0),
        ([page()], 0),
        ([page(), page(slo="edge-latency")], 0),
        ([page(-1)], 1),
        ([page(pop="iad")], 1),
        ([page(tier="balancer")], 1),
        ([page(resolved=RESOLVED), page(70)], 1),
        ([page(70), page(resolved=RESOLVED)], 1),
        ([page(resolved=RESOLVED), page(70, slo="edge-latency")], 0),
        ([page(resolved=RESOLVED), page(50)], 0),
        ([page(-5, resolved=START - timedelta(seconds=1)), page()], 1),
    ],
    ids=[
        *("none", "right", "two SLOs", "before", "other PoP", "other tier", "after the resolve", "any order"),
        *("other SLO after the resolve", "second before the resolve", "a false one's resolve does not count"),
    ],
)
def test_false_pages(pages: list[PageRecord], false: int) -> None:
    """What counts as a page that should not have rung."""
    assert count_false_pages(pages, INCIDENT) == false


def test_without_an_incident_every_page_is_false() -> None:
    """A run that ended before its incident."""
    assert count_false_pages([page()], None) == 1


def test_summary_names_what_matters() -> None:
    """People read lost, doubled and the page's time."""
    report = build_report(StoredPaths(), sent(1), [page(22)], INCIDENT, 6)
    text = "\n".join(summarize(report))
    assert "0 complete, 1 lost, 0 doubled" in text
    assert "page: edge-availability in fra, blamed on edge; rang 22.0 s after the incident's start" in text
    assert "pages: 1, false: 0" in text
