"""What a run of the demo came to: every request sent, compared with what is stored; every page, with the incident."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from telemetry.demo.incident import IncidentTimes
from telemetry.demo.ledger import Sent
from telemetry.store.base import Store

_CHUNK: Final = 5_000

# A path can be queried once its row is written; its last span ended at start + total.
_PATHS: Final = """
SELECT
    lower(hex(trace_id)) AS trace,
    count() AS copies,
    min(complete) AS whole,
    any(outcome) AS ended,
    any(blamed_pop) AS at_pop,
    any(blamed_tier) AS at_tier,
    (toUnixTimestamp64Milli(min(stored)) - (toUnixTimestamp64Nano(min(start)) + min(total_ns)) / 1e6) / 1e3 AS freshness
FROM request_paths FINAL
WHERE sign = 1 AND trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
GROUP BY trace_id
"""


@dataclass(frozen=True)
class PageRecord:
    """A page as it was sent.

    Attributes:
        slo: which SLO.
        pop: which PoP.
        tier: which tier it blames.
        fired: when it rang (timezone-aware).
        resolved: when it resolved; None if it has not.
    """

    slo: str
    pop: str
    tier: str
    fired: datetime
    resolved: datetime | None = None


@dataclass
class _Tally:
    """What was found of the requests sent."""

    sent: int = 0
    stored: int = 0
    complete: int = 0
    doubled: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    blamed: Counter[str] = field(default_factory=Counter)
    freshness: list[float] = field(default_factory=list)


def build_report(
    store: Store,
    ledger: Iterable[Sent],
    pages: Sequence[PageRecord],
    incident: IncidentTimes | None,
    spans_received: int,
) -> dict[str, Any]:
    """Compare what was sent with what is stored. The result can be written as JSON.

    Keys:
        ``requests_sent``, ``spans_received``;
        ``paths_stored`` (requests of which there is a path), ``paths_complete`` (of those, with no gap),
        ``paths_lost`` (requests without a path), ``paths_doubled`` (with more than one);
        ``outcomes`` (outcome to count), ``blamed`` ("pop/tier" to count);
        ``pages`` (``slo``, ``pop``, ``tier``, ``seconds_to_page`` from the incident's start, ``seconds_to_resolve`` from
        its end; null where there is nothing to count from), ``false_pages``;
        ``freshness_seconds`` (``p50``, ``p99``: end of the last span to queryable; null if nothing is stored).

    Raises:
        StoreError, UnavailableError: as :meth:`Store.query`.
    """
    tally = _tally(store, ledger)
    return {
        "requests_sent": tally.sent,
        "spans_received": spans_received,
        "paths_stored": tally.stored,
        "paths_complete": tally.complete,
        "paths_lost": tally.sent - tally.stored,
        "paths_doubled": tally.doubled,
        "outcomes": dict(tally.outcomes.most_common()),
        "blamed": dict(tally.blamed.most_common()),
        "pages": [_page(page, incident) for page in pages],
        "false_pages": count_false_pages(pages, incident),
        "freshness_seconds": {"p50": _quantile(tally.freshness, 0.5), "p99": _quantile(tally.freshness, 0.99)},
    }


def count_false_pages(pages: Sequence[PageRecord], incident: IncidentTimes | None) -> int:
    """Pages that should not have rung.

    A page is false if it fired before the incident or without one, for another PoP or tier than the incident's, or
    after the first page of its SLO and PoP had resolved.
    """
    false = 0
    resolved: dict[tuple[str, str], datetime] = {}
    for page in sorted(pages, key=lambda one: one.fired):
        about_it = (
            incident is not None
            and page.fired >= incident.start
            and (page.pop, page.tier) == (incident.pop, incident.tier)
        )
        first_resolved = resolved.get((page.slo, page.pop))
        if not about_it or (first_resolved is not None and page.fired > first_resolved):
            false += 1
        if about_it and page.resolved is not None:
            resolved.setdefault((page.slo, page.pop), page.resolved)
    return false


def summarize(report: Mapping[str, Any]) -> list[str]:
    """A report as lines for people."""
    freshness = report["freshness_seconds"]
    lines = [
        f"{report['requests_sent']} requests sent, {report['spans_received']} spans received",
        f"{report['paths_stored']} paths stored: {report['paths_complete']} complete, "
        f"{report['paths_lost']} lost, {report['paths_doubled']} doubled",
        "outcomes: " + _listed(report["outcomes"]),
        "blamed: " + _listed(report["blamed"]),
        f"queryable after: p50 {_seconds(freshness['p50'])}, p99 {_seconds(freshness['p99'])}",
    ]
    for page in report["pages"]:
        lines.append(
            f"page: {page['slo']} in {page['pop']}, blamed on {page['tier']}; rang {_seconds(page['seconds_to_page'])} "
            f"after the incident's start, resolved {_seconds(page['seconds_to_resolve'])} after its end"
        )
    return [*lines, f"pages: {len(report['pages'])}, false: {report['false_pages']}"]


def _tally(store: Store, ledger: Iterable[Sent]) -> _Tally:
    tally = _Tally()
    for traces in _chunks(ledger):
        tally.sent += len(traces)
        for _, copies, whole, ended, at_pop, at_tier, freshness in store.query(_PATHS, {"traces": traces}).rows:
            tally.stored += 1
            tally.complete += bool(whole)
            tally.doubled += copies > 1
            tally.outcomes[ended] += 1
            if at_tier:
                tally.blamed[f"{at_pop}/{at_tier}"] += 1
            tally.freshness.append(freshness)
    return tally


def _chunks(ledger: Iterable[Sent]) -> Iterator[list[str]]:
    entries = iter(ledger)
    while chunk := [entry.trace_id for entry in islice(entries, _CHUNK)]:
        yield chunk


def _page(page: PageRecord, incident: IncidentTimes | None) -> dict[str, Any]:
    to_page = (page.fired - incident.start).total_seconds() if incident else None
    to_resolve = (page.resolved - incident.end).total_seconds() if incident and incident.end and page.resolved else None
    return {
        "slo": page.slo,
        "pop": page.pop,
        "tier": page.tier,
        "seconds_to_page": _rounded(to_page),
        "seconds_to_resolve": _rounded(to_resolve),
    }


def _quantile(values: Sequence[float], rank: float) -> float | None:
    """The nearest-rank quantile, None of nothing."""
    if not values:
        return None
    return _rounded(sorted(values)[min(len(values) - 1, int(rank * len(values)))])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _seconds(value: float | None) -> str:
    return "(unknown)" if value is None else f"{value:.1f} s"
