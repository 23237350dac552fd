"""A path that was restated is drawn as if it had been stored right at once: in every panel, from either table."""

from collections.abc import Sequence
from typing import Any

import pytest

from dashboards import build
from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from telemetry.web.boards import Board, Panel, load_boards
from telemetry.web.runner import Runner, View
from telemetry.web.timerange import TimeRange
from tests.support.chdb_fixture import OpenEngine
from tests.unit.dashboards.sample_data import Sample

PANELS = [
    pytest.param(board, panel, id=f"{board.uid}-{panel.layout['title']}")
    for board in load_boards(build.GENERATED).values()
    for panel in board.panels.values()
    if panel.queries
]
_OLD = (
    "concat('gone-', pop) AS pop, 'edge_error' AS outcome, 'edge' AS blamed_tier, 'nobody' AS blamed_component, "
    "total_ns * 50 AS total_ns, edge_ns * 70 AS edge_ns, retries + 9 AS retries, NOT complete AS complete, "
    "arrayMap(t -> concat('gone-', t), hops.tier) AS `hops.tier`, arrayMap(n -> n * 90, hops.self_ns) AS `hops.self_ns`, "
    "start + INTERVAL 90 SECOND AS start"
)
"""What the first version of a restated path says wrongly: everything that a panel shows or sorts by."""


@pytest.fixture(scope="module")
def restated(store: Store, module_chdb: ChdbEngine, open_chdb: OpenEngine) -> Store:
    """The sample of ``store``, a tenth of which was stored wrongly first, over several blocks and table partitions."""
    assert store.query("SELECT count() FROM request_paths").scalar()
    engine = open_chdb()
    other = EmbeddedStore(engine)
    schema.apply(other)
    sample = f"`{module_chdb.database}`.request_paths"
    wrong = "cityHash64(trace_id) % 10 = 0"
    for replaced, where in (
        ("block AS block", f"NOT ({wrong})"),
        (f"{_OLD}, 2 AS block", wrong),
        (f"{_OLD}, 30000 AS block, -1 AS sign", f"{wrong} AND cityHash64(trace_id) % 20 = 0"),
        (f"{_OLD}, 3 AS block, -1 AS sign", f"{wrong} AND cityHash64(trace_id) % 20 != 0"),
        ("4 AS block, 2 AS version", wrong),
    ):
        other.execute(f"INSERT INTO path_feed SELECT * REPLACE ({replaced}) FROM {sample} WHERE {where}")
    return other


def answer(store: Store, board: Board, panel: Panel, range_: TimeRange, **chosen: Sequence[str]) -> Any:
    """What a panel shows, floats rounded to what sums in another order may differ by."""
    shown = View(range_, {v.name: v.default for v in board.variables} | chosen)
    (frame,) = Runner(store).panel(board, panel, shown)["frames"]
    return {
        (field["name"], *field.get("labels", {}).values()): [
            pytest.approx(v, rel=1e-9, nan_ok=True) if isinstance(v, float) else v for v in field["values"]
        ]
        for field in frame["fields"]
    }


@pytest.mark.parametrize(("board", "panel"), PANELS)
@pytest.mark.parametrize("hours", [0, 7])
def test_every_panel_shows_what_holds(
    store: Store, restated: Store, sample: Sample, board: Board, panel: Panel, hours: int
) -> None:
    """The short range reads ``request_paths``, the long one the roll-ups."""
    start, end = int(sample.start.timestamp() * 1000), int(sample.end.timestamp() * 1000)
    range_ = TimeRange(start - hours * 3_600_000, end)
    wanted = answer(store, board, panel, range_)
    assert any(wanted.values())
    assert answer(restated, board, panel, range_) == wanted


@pytest.mark.parametrize("title", ["Request", "Waterfall", "Hops of the request"])
def test_a_request_that_is_looked_up_is_its_newest_version(
    store: Store, restated: Store, sample: Sample, title: str
) -> None:
    """By its trace id."""
    board = load_boards(build.GENERATED)["edgepath-path"]
    panel = next(p for p in board.panels.values() if p.layout["title"] == title)
    range_ = TimeRange(int(sample.start.timestamp() * 1000), int(sample.end.timestamp() * 1000))
    traces = restated.query("SELECT trace_hex FROM request_paths WHERE version = 2 ORDER BY trace_id LIMIT 8").rows
    for (trace,) in traces:
        wanted = answer(store, board, panel, range_, trace=(trace,))
        assert all(wanted.values())
        assert answer(restated, board, panel, range_, trace=(trace,)) == wanted


def test_variables_offer_what_holds(store: Store, restated: Store, sample: Sample) -> None:
    """No PoP that nobody goes through any more."""
    board = load_boards(build.GENERATED)["edgepath-overview"]
    (variable,) = (v for v in board.variables if v.name == "pop")
    range_ = TimeRange(int(sample.start.timestamp() * 1000), int(sample.end.timestamp() * 1000))
    shown = View(range_, {v.name: v.default for v in board.variables})
    gone = restated.query("SELECT count() FROM path_1m WHERE startsWith(pop, 'gone-')").scalar()
    assert gone > 0
    assert Runner(restated).options(board, variable, shown) == Runner(store).options(board, variable, shown)
