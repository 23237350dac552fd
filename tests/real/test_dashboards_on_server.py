"""Every panel's query on a real ClickHouse server, over the native protocol: the same answers as from the embedded one."""

from datetime import UTC, datetime, timedelta

from alerts.rules.dashboard import dashboard
from dashboards import build
from telemetry.store import open_store, schema
from telemetry.web.boards import load_boards
from telemetry.web.runner import Runner, View
from telemetry.web.timerange import TimeRange
from tests.unit.alerts.alerts_support import T0
from tests.unit.alerts.test_budget_sql import DAY, as_grafana_would, every_kind, same, traffic
from tests.unit.dashboards.sample_data import Sample, insert


def test_every_query_runs_on_a_server(clickhouse_url: str) -> None:
    """With its limits, by second and from the roll-ups; times, names and numbers are what the page draws."""
    store = open_store(clickhouse_url)
    try:
        start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=12)
        insert(store, Sample(start, minutes=10, per_second=5))
        end_ms = int((start + timedelta(minutes=10)).timestamp() * 1000)
        runner = Runner(store)
        for board in load_boards(build.GENERATED).values():
            defaults = {v.name: v.default for v in board.variables}
            for hours in (0.2, 8):
                view = View(TimeRange(end_ms - int(hours * 3_600_000), end_ms), defaults)
                for variable in board.variables:
                    runner.options(board, variable, view)
                for panel in board.panels.values():
                    for frame in runner.panel(board, panel, view)["frames"]:
                        kinds = [field["type"] for field in frame["fields"]]
                        assert frame["fields"][0]["values"], panel.layout["title"]
                        assert "number" in kinds
                        assert kinds[0] == "time" or panel.layout["type"] != "timeseries"
    finally:
        store.close()


def test_the_slo_dashboard_on_a_server(clickhouse_url: str) -> None:
    """The budgets of every kind of SLO are those of a status, burn rates are told, and so is everything else that it shows."""
    store = open_store(clickhouse_url)
    try:
        schema.apply(store)
        slos = every_kind()
        traffic(store, slos, T0 - 2 * DAY, T0)
        assert {g.slo for g in same(store, slos, int(T0) + 17)} == {slo.name for slo in slos}
        for panel in dashboard(slos)["panels"]:
            for slo in slos:
                sql = as_grafana_would(panel["targets"][0]["rawSql"], slo, int(T0) - 7200, int(T0))
                rows = store.query(sql).rows
                # The table is one of now, when none of this has happened yet.
                assert rows or panel["type"] == "table", panel["title"]
    finally:
        store.close()
