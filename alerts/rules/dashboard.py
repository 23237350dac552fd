"""The SLO dashboard, of grafanalib's parts: budgets, burn rates and good shares of every SLO, over ``sli_1m``."""

import json
from collections.abc import Sequence
from typing import Any, Final

from grafanalib.core import (
    Annotations,
    Dashboard,
    GridPos,
    Panel,
    Table,
    Target,
    Template,
    Templating,
    Time,
    TimeSeries,
)

from alerts.rules.budget_sql import MOST_ROWS, budgets_sql, burn_over_time_sql
from alerts.slos.model import Slo
from telemetry.store.tables import SLI_1M

Json = dict[str, Any]
UID: Final = "edgepath-slo"
SCHEMA_VERSION: Final = 39
_SOURCE: Final = {"type": "grafana-clickhouse-datasource", "uid": "${datasource}"}


class _Sql(Target):  # type: ignore[misc]  # grafanalib ships no types
    """A query of grafana-clickhouse-datasource 4: format 0 for time series, 1 for a table."""

    def __init__(self, sql: str, query_format: int) -> None:
        super().__init__(refId="A", datasource=_SOURCE)
        self.sql, self.query_format = sql, query_format

    def to_json_data(self) -> Json:
        """The query model."""
        kind = "table" if self.query_format else "timeseries"
        return {
            "refId": "A", "datasource": _SOURCE, "editorType": "sql", "format": self.query_format, "queryType": kind,
            "rawSql": self.sql,
        }  # fmt: skip


def dashboard(slos: Sequence[Slo]) -> Json:
    """The dashboard as Grafana reads it.

    Budgets are those of ``edgepath slo status``, of periods that roll and of calendar windows in their time zone, and burn
    rates those of the rules: both are of slices where the SLO has any. Good shares and rates are of requests for all.

    Args:
        slos: at least one.
    """
    names = [slo.name for slo in slos]
    panels: list[Panel] = [
        Table(
            title="Error budgets",
            description=(
                "Share of the budget left of the period that began at `since`, as `edgepath slo status` tells it. `events` are "
                f"what `budgeting` says: requests, weighted by sampling, or all slices. The worst first, {MOST_ROWS} at most."
            ),
            dataSource=_SOURCE,
            targets=[_Sql(budgets_sql(slos), 1)],
            gridPos=GridPos(h=9, w=24, x=0, y=0),
        ),
        _lines(
            "Burn rate over 1 h",
            f"1 uses the budget in exactly its period. {_SLICES}",
            burn_over_time_sql(slos, 3600, _LARGEST),
            0,
        ),
        _lines(
            "Burn rate over 5 min",
            f"What pages when it is over 14.4 together with the hour. {_SLICES}",
            burn_over_time_sql(slos, 300, _LARGEST),
            12,
        ),
        _lines(
            "Good share",
            "Of requests that count, a minute; with Timeslices, too.",
            _good(),
            0,
            y=18,
            unit="percentunit",
        ),
        _lines("Requests that count", "Weighted by sampling, a second.", _rate(), 12, y=18, unit="reqps"),
    ]
    board = Dashboard(
        title="Edgepath: SLOs",
        uid=UID,
        tags=["edgepath"],
        timezone="browser",
        time=Time("now-6h", "now"),
        refresh="1m",
        schemaVersion=SCHEMA_VERSION,
        annotations=Annotations(list=[]),
        templating=Templating(
            list=[
                Template(name="datasource", query="grafana-clickhouse-datasource", type="datasource", dataSource=None),
                Template(
                    name="slo", query=",".join(names), type="custom", default=names[0] if names else "", dataSource=None
                ),
            ]
        ),
        panels=panels,
    ).auto_panel_ids()
    plain: Json = json.loads(json.dumps(board.to_json_data(), default=lambda o: o.to_json_data()))
    return {
        k: v for k, v in plain.items() if k not in ("__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair")
    }


def _lines(title: str, description: str, sql: str, x: int, *, y: int = 9, unit: str = "none") -> TimeSeries:
    return TimeSeries(
        title=title,
        description=description,
        dataSource=_SOURCE,
        targets=[_Sql(sql, 0)],
        gridPos=GridPos(h=9, w=12, x=x, y=y),
        unit=unit,
        showPoints="never",
        lineWidth=2,
        fillOpacity=0,
        extraJson={"fieldConfig": {"defaults": {"displayName": "${__field.labels.group}"}}},
    )


_SLICES: Final = "Of an SLO with Timeslices: bad slices, of at least one; the newest may still fill."
_MOST_LINES: Final = 50
_RANGE: Final = "slo = ${slo:singlequote} AND bucket >= $__fromTime AND bucket <= $__toTime"
_LARGEST: Final = (
    f"(environment, value) IN (SELECT environment, value FROM {SLI_1M} WHERE {_RANGE} "  # noqa: S608 - names are ours
    f"GROUP BY environment, value ORDER BY sum(total) DESC, value LIMIT {_MOST_LINES})"
)
_WHERE: Final = f"slo = ${{slo:singlequote}} AND $__timeFilter(bucket) AND {_LARGEST}"
_GROUP: Final = "concat(environment, ' ', value) AS group"


def _good() -> str:
    return (
        f"SELECT $__timeInterval(bucket) AS time, {_GROUP}, sum(good) / sum(total) AS good FROM {SLI_1M} "  # noqa: S608
        f"WHERE {_WHERE} GROUP BY time, group ORDER BY time"
    )


def _rate() -> str:
    return (
        f"SELECT $__timeInterval(bucket) AS time, {_GROUP}, sum(total) / $__interval_s AS requests FROM {SLI_1M} "  # noqa: S608
        f"WHERE {_WHERE} GROUP BY time, group ORDER BY time"
    )
