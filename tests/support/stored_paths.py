"""Paths as they are stored now, and as the reference makes them of what was sent: to be compared with ``==``."""

from collections.abc import Iterable
from typing import Any

from telemetry.domain.paths import assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.store.base import Store
from telemetry.store.tables import REQUEST_PATH_COLUMNS
from tests.support.compare import row_of

BOOKKEEPING = frozenset(
    {"arrived", "stored", "topic", "partition", "block", "writer", "last_offset", "sign", "version", "start"}
)


def stored_paths(store: Store) -> list[dict[str, Any]]:
    """Every path in its newest version, without where it stands and without the hash of the client's address."""
    names = [n for n in REQUEST_PATH_COLUMNS if n not in BOOKKEEPING and n != "client_hash"] + ["trace_hex"]
    listed = ", ".join(f"`{name}`" for name in names)
    return store.query(
        f"SELECT {listed}, toUnixTimestamp64Nano(start) AS start FROM request_paths FINAL WHERE sign = 1"
    ).dicts()


def expected_paths(spans: Iterable[Span], tiers: Tiers | None = None) -> dict[bytes, dict[str, Any]]:
    """The same of the reference, by trace id."""
    traces: dict[bytes, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    rows = {trace_id: row_of(assemble(some, tiers or Tiers())) for trace_id, some in traces.items()}
    for row in rows.values():
        del row["client_hash"]
    return rows


def assert_stored_as_sent(store: Store, spans: Iterable[Span], *, starts: bool = True) -> None:
    """Each trace is one path, and it is the reference's; without ``starts`` where those were not of these days."""
    expected = expected_paths(spans)
    stored = stored_paths(store)
    for row in () if starts else (*stored, *expected.values()):
        del row["start"]
    found = {row["trace_id"]: row for row in stored}
    assert len(found) == len(stored), "a trace has two paths"
    assert set(found) == set(expected)
    for trace_id, row in expected.items():
        assert found[trace_id] == row, {
            name: (found[trace_id][name], row[name]) for name in row if found[trace_id][name] != row[name]
        }
