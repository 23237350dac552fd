"""Good objects for the tests of alerts; a case changes one field."""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from alerts import policies
from alerts.blame import Blame
from alerts.burnrate import Policy, Rule
from alerts.filters import parse
from alerts.page import PageEvent
from alerts.slos.model import Slo
from telemetry.store.base import Parameter, Result, Store
from tests.support.inserts import Insert
from tests.support.unused_store import UnusedStore

T0 = 4_000_867_200.0
"""A time: Friday, 2096-10-12, 08:00 UTC. So far away that no row of a test is old enough for a table to forget it."""

DEMO = policies.load("demo")
WORKBOOK = policies.load("workbook")

_blocks = itertools.count(1)


def make_slo(**changes: Any) -> Slo:
    """A good SLO like ``edge-availability``."""
    good = Slo(
        name="edge-availability",
        display_name="Edge availability",
        description="Requests reach the API.",
        service="edge",
        objective=Decimal("0.999"),
        period_seconds=30 * 86_400,
        total=parse("outcome not in ('blocked', 'throttled', 'cancelled')"),
        good=parse("outcome in ('ok', 'client_error', 'api_error')"),
        group_by="pop",
        runbook="docs/slo.md",
        file="a.yaml",
    )
    return replace(good, **changes)


def make_policy(**changes: Any) -> Policy:
    """A small policy: one pair of windows, 60 s and 10 s, in buckets of 5 s."""
    good = Policy(
        name="test",
        source="none",
        period_seconds=30 * 86_400,
        resolution_seconds=5,
        interval_seconds=1,
        delay_seconds=0,
        min_bad_events=Decimal(0),
        min_bad_paths=0,
        keep_firing_seconds=0,
        rules=(Rule("page", 60, 10, Decimal("14.4")),),
    )
    return replace(good, **changes)


def path_row(**changes: Any) -> dict[str, Any]:
    """A good row of ``request_paths`` (times in nanoseconds since the epoch); ``trace_id`` differs from row to row."""
    number = next(_blocks)
    row: dict[str, Any] = {
        "trace_id": number.to_bytes(16, "big"),
        "start": int(T0) * 10**9,
        "environment": "prod",
        "pop": "fra",
        "route": "/v1/charges",
        "method": "POST",
        "status": 200,
        "outcome": "ok",
        "reached_api": True,
        "complete": True,
        "blamed_tier": "",
        "blamed_component": "",
        "blamed_pop": "",
        "blame_reason": "",
        "total_ns": 40_000_000,
        "edge_ns": 10_000_000,
        "retry_ns": 0,
        "weight": 1.0,
        "stored": int(T0) * 1000,
        "sign": 1,
        "version": 1,
    }
    return row | changes


def append_paths(store: Store, rows: Sequence[Mapping[str, Any]], token: str | None = None) -> Insert:
    """Insert rows as the engine does, in one block; returns it, so that it can be sent again."""
    number = next(_blocks)
    full = [dict(r) | {"block": number} for r in rows]
    arrays = {name: [r[name] for r in full] for name in full[0]}
    kinds = {
        "trace_id": pa.binary(16),
        "start": pa.timestamp("ns", "UTC"),
        "stored": pa.timestamp("ms", "UTC"),
        "arrived": pa.timestamp("ms", "UTC"),
        "total_ns": pa.uint64(),
        "sign": pa.int8(),
    }
    table = pa.table({n: pa.array(v, kinds.get(n)) for n, v in arrays.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    block = Insert("path_feed", tuple(arrays), sink.getvalue().to_pybytes(), len(full), token or f"t{number}")
    block.into(store)
    return block


@dataclass
class FakeStore(UnusedStore):
    """A store whose ``sli_1m`` is a map, and that answers the reader's one query on it and the blame query; it has no views.

    Attributes:
        buckets: (slo, environment, dimension, value) to bucket start to [good, total, good paths, total paths, squares].
        blamed: rows that the blame query answers with.
        broken: raised by every query but the blame query if set.
        blame_broken: raised by the blame query if set.
        statements: what was asked.
    """

    buckets: dict[tuple[str, str, str, str], dict[int, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: [0.0, 0.0, 0, 0, 0.0, 0.0]))
    )
    blamed: list[tuple[Any, ...]] = field(
        default_factory=lambda: [("edge", "envoy-fra", "fra", "UF", 35.0, 35, ["00" * 16])]
    )
    broken: Exception | None = None
    blame_broken: Exception | None = None
    statements: list[str] = field(default_factory=list)

    def add(
        self,
        at: float,
        good: float,
        bad: float,
        *,
        pop: str = "fra",
        weight: float = 1,
        resolution: int = 5,
        **more: str,
    ) -> None:
        """Count ``good`` and ``bad`` paths, of ``weight`` requests each, that end at ``at``."""
        key = (more.get("slo", "edge-availability"), more.get("environment", "prod"), "pop", pop)
        counts = self.buckets[key][int(at // resolution) * resolution]
        both = good + bad
        for i, n in enumerate((good * weight, both * weight, good, both, good * weight**2, both * weight**2)):
            counts[i] += n

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """Answer as a store would."""
        self.statements.append(sql)
        given: dict[str, Any] = dict(parameters or {})
        if "FROM request_paths" in sql and "quantileExactIf" not in sql:
            if self.blame_broken:
                raise self.blame_broken
            return Result(("tier", "component", "place", "reason", "requests", "paths", "traces"), self.blamed)
        if self.broken:
            raise self.broken
        if "quantileExactIf" in sql:
            return Result((), [(0.0, 0.0, 0, 0.0)])
        if any(
            part in sql
            for part in ("FROM system.tables", "FROM sli_views", "SELECT DISTINCT", "FROM path_1m", "metric_points")
        ):
            return Result((), [])
        assert "FROM sli_1m" in sql, sql
        if "min(bucket)" in sql:
            return Result(("slo", "at"), self._oldest())
        return Result((), self._slots(given) if "groupArray((slot" in sql else self._windows(given))

    def _oldest(self) -> list[tuple[Any, ...]]:
        oldest: dict[str, int] = {}
        for (slo, *_), buckets in self.buckets.items():
            oldest[slo] = min(*buckets, oldest.get(slo, 1 << 62))
        return list(oldest.items())

    def _windows(self, given: dict[str, Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for key, buckets in self.buckets.items():
            sums = [[0.0] * len(given["windows"]) for _ in range(6)]
            for start, counts in buckets.items():
                for w, length in enumerate(given["windows"]):
                    if given["end"] - length < start <= given["end"]:
                        for i in range(6):
                            sums[i][w] += counts[i]
            if key[0] in given["slos"] and sums[3][-1]:
                rows.append((*key, *sums))
        return rows

    def _slots(self, given: dict[str, Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for key, buckets in self.buckets.items():
            slots: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
            weight = max((c[4] / c[0] for c in buckets.values() if c[0]), default=1.0)
            for start, counts in buckets.items():
                if given["end"] - given["longest"] < start <= given["end"] and counts[3]:
                    slot = slots[start // given["width"] * given["width"]]
                    slot[0] += counts[1] - counts[0]
                    slot[1] += counts[1]
            newest = sorted(slots, reverse=True)[: given["slots"]]
            if key[0] in given["slos"] and newest:
                sums = ([slots[n][i] for n in newest] for i in (0, 1))
                rows.append((*key, newest, *sums, weight))
        return rows

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Note the statement."""
        self.statements.append(f"{sql} {parameters or ''}".strip())


def make_event(**changes: Any) -> PageEvent:
    """A good trigger."""

    good = PageEvent(
        kind="trigger",
        dedup_key="edgepath/edge-availability/prod/pop/fra/page",
        at=T0,
        started=T0,
        slo="edge-availability",
        service="edge",
        description="Requests reach the API.",
        objective="0.999",
        environment="prod",
        dimension="pop",
        value="fra",
        severity="page",
        long_seconds=3600,
        short_seconds=300,
        factor="14.4",
        long_burn=180.0,
        short_burn=350.0,
        error_ratio=0.35,
        bad_events=900.0,
        total_events=5000.0,
        bad_noun="errors",
        period_seconds=30 * 86_400,
        budget_left=0.731,
        blame=(Blame("edge", "envoy-fra", "fra", "UF", 880.0, 880), Blame("gateway", "gw", "fra", "503", 20.0, 20)),
        trace_ids=("0a" * 16, "0b" * 16),
        dashboard_url="http://edgepath.test/d/edgepath-overview?var-pop=fra&from=1&to=2",
        runbook_url="docs/slo.md#runbook-edge-availability",
    )
    return replace(good, **changes)


def write(path: Path, text: str) -> Path:
    """Write a file and return it."""
    path.write_text(text, encoding="utf-8")
    return path
