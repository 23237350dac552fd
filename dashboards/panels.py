"""Panels as Grafana 11 reads them, on grafanalib's classes.

grafanalib 0.7.1 writes some options in the shape of Grafana 7; what it lacks goes in through ``extraJson``, and
:func:`modern` takes out what no Grafana has read since (nulls, row layout, old colours).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafanalib.core import BarChart, BarGauge, GridPos, Panel, RowPanel, Stat, Table, Target, TimeSeries

DATASOURCE: Final = {"type": "grafana-clickhouse-datasource", "uid": "${datasource}"}
PLUGIN_VERSION: Final = "4.20.0"
MAX_DATA_POINTS: Final = 240
"""Points a series, and so the interval of panels over time: 15 s for an hour, a minute and the roll-up from four hours on."""
WHOLE_RANGE_POINTS: Final = 60
"""The same for panels that show one value for the whole range: those read the roll-up from an hour on."""
MIN_INTERVAL: Final = "5s"
"""Shorter ones hold too few requests for a share or a quantile to mean anything."""

Json = dict[str, Any]
Steps = Sequence[tuple[float | None, str]]
TIME_SERIES, TABLE = 0, 1


class ClickHouseTarget(Target):  # type: ignore[misc]  # grafanalib ships no types
    """A query of grafana-clickhouse-datasource 4: raw SQL, ``format`` 0 for time series and 1 for a table."""

    def __init__(self, sql: str, query_format: int) -> None:
        super().__init__(refId="A", datasource=DATASOURCE)
        self.sql = sql
        self.query_format = query_format

    def to_json_data(self) -> Json:
        """The query model (grafana/clickhouse-datasource, ``src/types/sql.ts``)."""
        return {
            "datasource": DATASOURCE,
            "editorType": "sql",
            "format": self.query_format,
            "pluginVersion": PLUGIN_VERSION,
            "queryType": "timeseries" if self.query_format == TIME_SERIES else "table",
            "rawSql": self.sql,
            "refId": "A",
        }


def _common(title: str, description: str, sql: str, at: tuple[int, int, int, int], query_format: int) -> Json:
    x, y, w, h = at
    return {
        "title": title,
        "description": description,
        "dataSource": DATASOURCE,
        "targets": [ClickHouseTarget(sql, query_format)],
        "gridPos": GridPos(h=h, w=w, x=x, y=y),
        "maxDataPoints": MAX_DATA_POINTS if query_format == TIME_SERIES else WHOLE_RANGE_POINTS,
        "interval": MIN_INTERVAL,
    }


def thresholds(steps: Steps) -> list[Json]:
    """Threshold steps; the first value is None: from minus infinity."""
    return [{"value": value, "color": color} for value, color in steps]


def override(field: str, **properties: Any) -> Json:
    """Settings for the field of that name; ``custom_width=90`` stands for ``custom.width``."""
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": key.replace("_", ".", 1), "value": value} for key, value in properties.items()],
    }


def fixed(color: str) -> Json:
    """One colour whatever the value."""
    return {"mode": "fixed", "fixedColor": color}


def row(title: str, y: int) -> RowPanel:
    """The heading of a group of panels."""
    return RowPanel(title=title, gridPos=GridPos(h=1, w=24, x=0, y=y))


def timeseries(
    title: str,
    description: str,
    sql: str,
    at: tuple[int, int, int, int],
    *,
    unit: str,
    label: str = "",
    colors: Mapping[str, str] | None = None,
    stacked: bool = False,
    minimum: int | None = 0,
    maximum: int | None = None,
    decimals: int | None = None,
    legend: str = "bottom",
    steps: Steps = (),
) -> TimeSeries:
    """Lines over time, or stacked areas.

    Args:
        label: the column that names the series, in long results.
        colors: series name to colour; others take the palette's.
        steps: threshold lines, if any.
    """
    defaults: Json = {"custom": {"axisBorderShow": False, "lineStyle": {"fill": "solid"}}}
    if label:
        defaults["displayName"] = f"${{__field.labels.{label}}}"
    return TimeSeries(
        **_common(title, description, sql, at, TIME_SERIES),
        unit=unit,
        lineWidth=1 if stacked else 2,
        fillOpacity=55 if stacked else 0,
        stacking={"mode": "normal", "group": "A"} if stacked else {"mode": "none", "group": "A"},
        showPoints="never",
        legendPlacement=legend,
        tooltipMode="multi",
        tooltipSort="desc",
        valueMin=minimum,
        valueMax=maximum,
        valueDecimals=decimals,
        thresholds=thresholds(steps or ((None, "transparent"),)),
        thresholdsStyleMode="dashed" if steps else "off",
        overrides=[override(name, color=fixed(color)) for name, color in (colors or {}).items()],
        extraJson={
            "fieldConfig": {"defaults": defaults},
            "options": {"legend": {"showLegend": True}},
            "pluginVersion": "11.0.0",
        },
    )


def stat(
    title: str,
    description: str,
    sql: str,
    at: tuple[int, int, int, int],
    *,
    unit: str,
    steps: Steps,
    decimals: int | None = None,
) -> Stat:
    """One number, coloured by threshold."""
    return Stat(
        **_common(title, description, sql, at, TABLE),
        format=unit,
        decimals=decimals,
        color={"mode": "thresholds"},
        colorMode="value",
        graphMode="none",
        reduceCalc="lastNotNull",
        textMode="value",
        alignment="auto",
        noValue="no data",
        thresholds=thresholds(steps),
        extraJson={"pluginVersion": "11.0.0"},
    )


def table(
    title: str,
    description: str,
    sql: str,
    at: tuple[int, int, int, int],
    *,
    overrides: Sequence[Json] = (),
    fine: bool = False,
) -> Table:
    """Rows and columns; each column's unit and colour stand in its override. A ``fine`` one reads single requests longer."""
    common = _common(title, description, sql, at, TABLE)
    return Table(
        **(common | {"maxDataPoints": MAX_DATA_POINTS} if fine else common),
        overrides=list(overrides),
        thresholds=thresholds(((None, "text"),)),
        extraJson={
            "fieldConfig": {"defaults": {"custom": {"cellOptions": {"type": "auto"}, "inspect": False}}},
            "options": {"cellHeight": "sm", "footer": {"show": False}},
            "pluginVersion": "11.0.0",
        },
    )


def bar_gauge(
    title: str,
    description: str,
    sql: str,
    at: tuple[int, int, int, int],
    *,
    unit: str,
    color: str,
) -> BarGauge:
    """A bar a row of the result, named by its text column."""
    return BarGauge(
        **_common(title, description, sql, at, TABLE),
        displayMode="basic",
        thresholds=[],
        extraJson={
            "fieldConfig": {
                "defaults": {
                    "unit": unit,
                    "min": 0,
                    "color": fixed(color),
                    "thresholds": {"mode": "absolute", "steps": thresholds(((None, color),))},
                },
                "overrides": [],
            },
            "options": {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True},
                "orientation": "horizontal",
                "showUnfilled": True,
                "valueMode": "color",
                "namePlacement": "left",
            },
            "pluginVersion": "11.0.0",
        },
    )


def stacked_bars(
    title: str,
    description: str,
    sql: str,
    at: tuple[int, int, int, int],
    *,
    unit: str,
    colors: Mapping[str, str],
    unseen: str,
) -> BarChart:
    """Horizontal bars made of segments, a bar a row; the segment ``unseen`` is only an offset."""
    nothing = override(
        unseen,
        color=fixed("transparent"),
        custom_fillOpacity=0,
        custom_lineWidth=0,
        custom_hideFrom={"tooltip": True, "viz": False, "legend": True},
    )
    return BarChart(
        **_common(title, description, sql, at, TABLE),
        orientation="horizontal",
        stacking="normal",
        showValue="never",
        groupWidth=0.75,
        lineWidth=0,
        fillOpacity=90,
        tooltipMode="multi",
        thresholdSteps=thresholds(((None, "text"),)),
        overrides=[nothing, *(override(name, color=fixed(color)) for name, color in colors.items())],
        extraJson={"fieldConfig": {"defaults": {"unit": unit}}, "pluginVersion": "11.0.0"},
    )


_OUTDATED: Final = frozenset({"span", "editable", "error", "hideTimeOverride", "fontSize", "columns", "transparent"})


def modern(panel: Panel | Json) -> Json:
    """The panel as plain JSON, without nulls (but in threshold steps) and what only old Grafanas read."""
    data = dict(panel if isinstance(panel, dict) else panel.to_json_data())
    for key in _OUTDATED:
        data.pop(key, None)
    if data["type"] == "table":
        # Grafana 7's places for what stands in fieldConfig now.
        data.pop("color", None)
        data.pop("mappings", None)
        data["fieldConfig"]["defaults"]["custom"].pop("displayMode", None)
    if data["type"] == "bargauge":
        for key in ("fieldOptions", "showThresholdLabels", "showThresholdMarkers"):
            data["options"].pop(key, None)
    if data["type"] == "row":
        data = {key: data[key] for key in ("id", "type", "title", "collapsed", "gridPos", "panels")}
    plain: Json = _plain(data)
    return plain


def _plain(value: Any, key: str = "") -> Any:
    if hasattr(value, "to_json_data"):
        return _plain(value.to_json_data(), key)
    if isinstance(value, Mapping):
        keep_null = key == "steps"
        return {k: _plain(v, k) for k, v in value.items() if v is not None or keep_null}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    return value
