"""Every panel's query on a real ClickHouse with the migrations applied: names exist, answers are right."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboards import build
from telemetry.errors import StoreError
from telemetry.store.base import Store
from telemetry.web.boards import Board, Panel, load_boards
from telemetry.web.macros import ALL, Context, expand, string_literal
from telemetry.web.runner import Limits, Runner, View
from telemetry.web.timerange import TimeRange, interval_ms
from tests.unit.dashboards.sample_data import INCIDENT_POP, Sample, insert

BOARDS = load_boards(build.GENERATED)
PANELS = [
    pytest.param(board, panel, id=f"{board.uid}-{panel.layout['title']}")
    for board in BOARDS.values()
    for panel in board.panels.values()
    if panel.queries
]
HOUR_MS = 3_600_000
SINGLE_REQUESTS = {"Slowest requests", "Newest failed requests", "Request", "Waterfall", "Hops of the request"}


def title(uid: str, name: str) -> tuple[Board, Panel]:
    """A panel by its title."""
    board = BOARDS[uid]
    return board, next(p for p in board.panels.values() if p.layout["title"] == name)


def short(sample: Sample) -> TimeRange:
    """The sample's ten minutes: five seconds a point, from ``request_paths``."""
    start = int(sample.start.timestamp()) * 1000
    return TimeRange(start, start + sample.minutes * 60_000)


def long(sample: Sample) -> TimeRange:
    """Eight hours around them: two minutes a point, from the roll-ups."""
    start = int(sample.start.timestamp()) * 1000
    return TimeRange(start - 7 * HOUR_MS, start + HOUR_MS)


def view(board: Board, range_: TimeRange, **chosen: Sequence[str]) -> View:
    """A view with the dashboard's defaults and these values."""
    return View(range_, {v.name: v.default for v in board.variables} | chosen)


def ask(store: Store, uid: str, name: str, range_: TimeRange, **chosen: Sequence[str]) -> dict[str, list[Any]]:
    """A panel's answer: the shown name of each field (its labels' values if it has any) to its values."""
    board, panel = title(uid, name)
    answer = Runner(store).panel(board, panel, view(board, range_, **chosen))
    (frame,) = answer["frames"]
    return {" ".join(f["labels"].values()) or f["name"]: f["values"] for f in frame["fields"]}


def refill(store: Store, sample: Sample) -> None:
    """Only this sample."""
    for table in ("request_paths", "path_1m", "hop_1m"):
        store.execute(f"TRUNCATE TABLE {table}")
    insert(store, sample)


@pytest.mark.parametrize(("board", "panel"), PANELS)
@pytest.mark.parametrize("choose_range", [short, long])
def test_every_query_runs_and_answers(
    store: Store, sample: Sample, board: Board, panel: Panel, choose_range: Any
) -> None:
    """A renamed table or column breaks this test and not a dashboard; the fields that a panel styles are there."""
    answer = Runner(store).panel(board, panel, view(board, choose_range(sample)))

    (frame,) = answer["frames"]
    fields = frame["fields"]
    assert fields[0]["values"], "no rows"
    if panel.layout["type"] == "timeseries":
        assert fields[0]["type"] == "time"
        assert fields[0]["values"] == sorted(fields[0]["values"])
        assert all(field["type"] == "number" for field in fields[1:])
        assert any(value is not None for field in fields[1:] for value in field["values"])
    else:
        styled = {o["matcher"]["options"] for o in panel.layout["fieldConfig"]["overrides"]}
        everywhere = {"Time", "Trace", "Request", "Edge time", "Total"}  # lists share their columns' settings
        assert styled - everywhere <= {field["name"] for field in fields}
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_query_takes_chosen_values(store: Store, sample: Sample, board: Board, panel: Panel) -> None:
    """Several PoPs and routes at once, one of them hostile: no error, and no more rows than with all."""
    chosen = {
        "pop": (INCIDENT_POP, "iad"),
        "route": ("/v1/charges", "it's \\' OR 1=1"),
        "outcome": ("ok", "edge_error"),
    }

    answer = Runner(store).panel(board, panel, view(board, short(sample), **chosen))

    assert answer["frames"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_every_variable_lists_its_values(store: Store, sample: Sample, board: Board) -> None:
    """The busiest first."""
    runner, seen = Runner(store), {}
    for variable in board.variables:
        seen[variable.name] = runner.options(board, variable, view(board, short(sample)))

    assert seen["environment"] == ["production"]
    assert seen["pop"] == ["fra", "iad", "sin"]
    assert seen["route"][0] == "/v1/charges"
    assert "edge_error" in seen["outcome"]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_query_reads_one_source_only(store: Store, sample: Sample, board: Board, panel: Panel) -> None:
    """The branch whose constant condition is false is dropped before it reads: short ranges leave the roll-ups alone, long
    ones ``request_paths`` (but for the lists of requests, which are only there)."""
    for range_, unread in ((short(sample), ("path_1m", "hop_1m")), (long(sample), ("request_paths",))):
        read = _rows_read(store, panel, view(board, range_))
        if panel.layout["title"] in SINGLE_REQUESTS and unread == ("request_paths",):
            continue
        assert sum(read.values()) > 0
        assert {table: read.get(table, 0) for table in unread} == dict.fromkeys(unread, 0)


def _rows_read(store: Store, panel: Panel, what: View) -> Mapping[str, int]:
    step = interval_ms(what.range, panel.max_points, panel.min_interval_ms)
    context = Context(what.range, step, what.values, lambda _: ())
    sql = expand(panel.queries[0].sql, context)
    return {str(row["table"]): int(row["rows"]) for row in store.query(f"EXPLAIN ESTIMATE {sql}").dicts()}


@pytest.mark.parametrize("choose_range", [short, long])
def test_rates_add_up_to_the_requests(store: Store, sample: Sample, choose_range: Any) -> None:
    """Points times interval is what was sent, in both sources; no bucket counts twice at the seams."""
    range_ = choose_range(sample)
    board, panel = title("edgepath-overview", "Requests by outcome")
    step = interval_ms(range_, panel.max_points, panel.min_interval_ms) / 1000

    series = ask(store, board.uid, "Requests by outcome", range_)

    total = sum(value for name, values in series.items() if name != "time" for value in values) * step
    assert total == pytest.approx(sample.rows, rel=1e-9)


def test_both_sources_tell_the_same(store: Store, sample: Sample) -> None:
    """The same requests, by second or from the roll-up: the same shares, and quantiles within the sketch's 0.4 %."""
    fine = ask(store, "edgepath-overview", "By PoP", short(sample))
    rolled = ask(store, "edgepath-overview", "By PoP", long(sample))

    assert fine["PoP"] == rolled["PoP"] == ["fra", "iad", "sin"]
    assert fine["Failed"] == pytest.approx(rolled["Failed"])
    assert fine["Retries"] == pytest.approx(rolled["Retries"])
    assert fine["Edge p99"] == pytest.approx(rolled["Edge p99"], rel=0.005)


def test_the_incident_is_plain_to_see(store: Store, sample: Sample) -> None:
    """The PoP, the tier, the component and the reason all point at fra's edge."""
    range_ = short(sample)

    places = ask(store, "edgepath-overview", "By PoP", range_)
    blamed = ask(store, "edgepath-overview", "Blamed components", range_)
    over_time = ask(store, "edgepath-overview", "Blamed for failures", range_)
    failed = ask(store, "edgepath-overview", "Failed share by PoP", range_)

    assert places["Failed"][0] > 0.05 > max(places["Failed"][1:])
    assert [blamed[name][0] for name in ("Tier", "PoP", "Component", "Main reason")] == [
        "edge",
        "fra",
        "edge-fra",
        "UF",
    ]
    assert sum(blamed["Of all failures"]) == pytest.approx(1)
    assert sum(over_time["edge · fra"]) > 0.9 * sum(sum(v) for k, v in over_time.items() if k != "time")
    start = short(sample).from_ms
    in_incident = [v for t, v in zip(failed["time"], failed["fra"], strict=True) if 240_000 <= t - start < 420_000]
    outside = [v for t, v in zip(failed["time"], failed["fra"], strict=True) if not 240_000 <= t - start < 420_000]
    assert sum(in_incident) / len(in_incident) > 0.15
    assert sum(outside) / len(outside) < 0.02


def test_the_stack_of_hops_is_the_mean_total_time(store: Store, sample: Sample) -> None:
    """Self, network and retry of all tiers over all requests: also where requests end before the API."""
    range_ = short(sample)

    layers = ask(store, "edgepath-path", "Time by hop", range_)
    tiers = ask(store, "edgepath-path", "Time added by tier", range_)

    mean = store.query("SELECT avg(total_ns) FROM request_paths").scalar()
    assert sum(tiers["Time per request"]) == pytest.approx(mean)
    assert tiers["Tier"] == ["client", "edge", "balancer", "gateway", "api"]
    means = [
        sum(values[i] or 0 for name, values in layers.items() if name != "time") for i in range(len(layers["time"]))
    ]
    assert sum(means) / len(means) == pytest.approx(mean, rel=0.001)


def test_everything_is_weighted(store: Store, sample: Sample) -> None:
    """A path that stands for a hundred requests counts as a hundred, in both sources."""
    before = {r: sum(ask(store, "edgepath-overview", "By PoP", r(sample))["Failed"]) for r in (short, long)}
    copied = "pop, route, outcome, environment, edge_ns, total_ns"
    store.execute(
        f"INSERT INTO path_feed (trace_id, start, weight, block, {copied}) SELECT trace_id, start, 100, 2, {copied} "
        "FROM request_paths WHERE outcome = 'edge_error' LIMIT 50"
    )
    try:
        for choose_range, failed in before.items():
            rows = ask(store, "edgepath-overview", "By PoP", choose_range(sample))
            assert rows["Failed"][0] > 5 * failed
    finally:
        refill(store, sample)


@pytest.mark.parametrize("hours", [0.2, 8])
def test_no_curve_drops_at_its_right_end(store: Store, sample: Sample, hours: float) -> None:
    """While traffic flows on, the newest point tells its true rate: of whole buckets, or of the minutes that have settled."""
    now = datetime.now(UTC)
    refill(store, Sample(now.replace(second=0, microsecond=0) - timedelta(minutes=20), 22, 20, incident=None))
    try:
        to_ms = int(now.timestamp() * 1000)
        series = ask(store, "edgepath-overview", "Requests by outcome", TimeRange(to_ms - int(hours * HOUR_MS), to_ms))
        rates = [
            sum(values[i] for name, values in series.items() if name != "time") for i in range(len(series["time"]))
        ]

        assert rates[-1] == pytest.approx(20, rel=0.1)
        assert rates[-2] == pytest.approx(20, rel=0.1)
        assert series["time"][-1] > to_ms - 200_000
    finally:
        refill(store, sample)


def test_the_waterfall_is_of_the_chosen_request(store: Store, sample: Sample) -> None:
    """By trace id in any spelling, else the slowest; bars follow each other in time and end where the hop ends."""
    range_ = short(sample)
    slowest = ask(store, "edgepath-path", "Slowest requests", range_)
    other = slowest["Trace"][7]

    default = ask(store, "edgepath-path", "Request", range_)
    chosen = ask(store, "edgepath-path", "Request", range_, trace=(f" {other.upper()} ",))
    bars = ask(store, "edgepath-path", "Waterfall", range_, trace=(other,))
    hops = ask(store, "edgepath-path", "Hops of the request", range_, trace=(other,))

    assert default["Trace"] == slowest["Trace"][:1]
    assert chosen["Trace"] == [other]
    lengths = [
        sum(values[i] for name, values in bars.items() if name not in {"Hop", "Start"}) for i in range(len(bars["Hop"]))
    ]
    assert lengths == hops["Duration"]
    assert bars["Start"] == sorted(bars["Start"])
    assert bars["Hop"][0].startswith("1 client · load-generator")


@pytest.mark.parametrize(
    "trace", ["zz", "' OR 1=1 --", "00", "f" * 31, "f" * 32, "f" * 400, "\\", "${pop}", "$__fromTime"]
)
def test_a_trace_that_is_not_there_is_no_data(store: Store, sample: Sample, trace: str) -> None:
    """Whatever is typed into the box: no row and no error."""
    assert ask(store, "edgepath-path", "Request", short(sample), trace=(trace,)).get("Trace", []) == []


def test_no_traffic_is_no_data_and_not_an_error(store: Store, sample: Sample) -> None:
    """An empty range answers without a single number, so that panels say so."""
    empty = TimeRange(short(sample).from_ms - 50 * HOUR_MS, short(sample).from_ms - 49 * HOUR_MS)
    for board in BOARDS.values():
        for panel in board.panels.values():
            if panel.queries:
                answer = Runner(store).panel(board, panel, view(board, empty))
                numbers = [v for f in answer["frames"][0]["fields"] if f["type"] == "number" for v in f["values"]]
                assert not [v for v in numbers if v is not None], panel.layout["title"]


def test_all_is_the_default(store: Store, sample: Sample) -> None:
    """Choosing every PoP by name tells the same as "All"."""
    everything = ask(store, "edgepath-overview", "Request rate", short(sample), pop=(ALL,))
    by_name = ask(store, "edgepath-overview", "Request rate", short(sample), pop=("fra", "iad", "sin"))

    assert everything["rate"] == by_name["rate"] == [pytest.approx(20, rel=0.01)]


@pytest.mark.parametrize(
    "value",
    ["it's", "\\", "\\'", "'' OR 1=1", "a\nb\tc\r", "\0", "%00", "é ✗ 日本", "--", "/* */", "`x`", "$tag$", "\b\f\v"],
)
def test_a_literal_means_its_value_to_clickhouse(store: Store, value: str) -> None:
    """The escaping of variables, asked of the engine itself."""
    assert store.query(f"SELECT {string_literal(value)} AS value").rows == [(value,)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO path_feed (block) SELECT 1",
        "SELECT number FROM numbers(100000)",
        "SELECT sleep(3) FROM numbers(100) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 10000000",
    ],
)
def test_limits_hold(store: Store, sql: str) -> None:
    """A statement of the page cannot write, cannot run on, and cannot bring back more than it may."""
    limits = Limits(seconds=1, rows=10).settings()
    statement = f"{sql}, {limits.removeprefix('SETTINGS ')}" if "SETTINGS" in sql else f"{sql}\n{limits}"

    with pytest.raises(StoreError):
        store.query(statement)
