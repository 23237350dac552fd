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

from alerts.filters.sql import text_literal
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
    """The dashboard as Grafana reads it. SLOs with slices are counted by requests here."""
    names = [slo.name for slo in slos]
    panels: list[Panel] = [
        Table(
            title="Error budgets",
            description="Share of the period's budget that is left, over its last days; the worst first, 500 at most.",
            dataSource=_SOURCE,
            targets=[_Sql(_budgets(slos), 1)],
            gridPos=GridPos(h=9, w=24, x=0, y=0),
        ),
        _lines("Burn rate over 1 h", "1 uses the budget in exactly its period.", _burn(slos, 3600), 0),
        _lines("Burn rate over 5 min", "What pages when it is over 14.4 together with the hour.", _burn(slos, 300), 12),
        _lines("Good share", "Of requests that count, a minute.", _good(), 0, y=18, unit="percentunit"),
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


def _objective(slos: Sequence[Slo], column: str = "slo") -> str:
    names = ", ".join(text_literal(s.name) for s in slos)
    budgets = ", ".join(f"{1 - s.objective:f}" for s in slos)
    return f"transform({column}, [{names}], [{budgets}], 1.)"


def _budgets(slos: Sequence[Slo]) -> str:
    names = ", ".join(text_literal(s.name) for s in slos)
    periods = ", ".join(str(s.period_seconds) for s in slos)
    return (
        f"SELECT slo, environment, value AS group, sum(total) AS requests, sum(good) / requests AS good_share, "  # noqa: S608
        f"1 - (1 - good_share) / {_objective(slos)} AS budget_left FROM {SLI_1M} "
        f"WHERE slo IN ({names}) AND bucket > now() - transform(slo, [{names}], [{periods}], 0) "
        f"GROUP BY slo, environment, value ORDER BY budget_left LIMIT {_MOST_ROWS}"
    )


_MOST_ROWS: Final = 500
_MOST_LINES: Final = 50
_RANGE: Final = "slo = ${slo:singlequote} AND bucket >= $__fromTime AND bucket <= $__toTime"
_LARGEST: Final = (
    f"(environment, value) IN (SELECT environment, value FROM {SLI_1M} WHERE {_RANGE} "  # noqa: S608 - names are ours
    f"GROUP BY environment, value ORDER BY sum(total) DESC, value LIMIT {_MOST_LINES})"
)
_WHERE: Final = f"slo = ${{slo:singlequote}} AND $__timeFilter(bucket) AND {_LARGEST}"
_GROUP: Final = "concat(environment, ' ', value) AS group"


def _burn(slos: Sequence[Slo], seconds: int) -> str:
    """Sums over a moving window: every bucket counts for the steps after it, up to the window's length."""
    step = 60
    at = f"toDateTime(intDiv(toUnixTimestamp(bucket), {step}) * {step} + shift, 'UTC')"
    spread = (
        f"SELECT arrayJoin(range(0, {seconds}, {step})) AS shift, {at} AS time, {_GROUP}, good AS g, total AS t, "  # noqa: S608
        f"{_objective(slos)} AS budget FROM {SLI_1M} WHERE slo = ${{slo:singlequote}} "
        f"AND {_LARGEST} AND bucket >= $__fromTime - {seconds} AND bucket <= $__toTime"
    )
    return (
        f"SELECT time, group, (1 - sum(g) / sum(t)) / any(budget) AS burn FROM ({spread}) "  # noqa: S608
        "WHERE time >= $__fromTime AND time <= $__toTime GROUP BY time, group HAVING sum(t) > 0 ORDER BY time"
    )


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
