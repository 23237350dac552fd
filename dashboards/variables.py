"""The variables at the head of the dashboards."""

# ruff: noqa: S608 - the parts of the statement are constants of this package

from typing import Final

from grafanalib.core import Template

from dashboards.panels import DATASOURCE, Json
from telemetry.store.tables import PATH_1M
from telemetry.vocabulary import Outcome

ALL: Final = "$__all"


def datasource() -> Json:
    """Which ClickHouse."""
    return _json(
        Template(name="datasource", label="Data source", query="grafana-clickhouse-datasource", type="datasource"),
        current={},
    )


def column(name: str, label: str) -> Json:
    """The values of a column in the time range, the busiest first; several may be chosen."""
    sql = (
        f"SELECT toString({name}) AS value FROM {PATH_1M} WHERE minute >= $__fromTime - 60 AND minute <= $__toTime "
        f"AND {name} != '' GROUP BY value HAVING sum(paths) > 0 ORDER BY sum(requests) DESC, value LIMIT 500"
    )
    return _json(
        Template(
            name=name,
            label=label,
            query={"editorType": "sql", "rawSql": sql, "refId": name, "queryType": "sql"},
            dataSource=DATASOURCE,
            includeAll=True,
            multi=True,
            refresh=2,
            sort=0,
        ),
        current={"selected": True, "text": ["All"], "value": [ALL]},
        definition=sql,
    )


def outcome() -> Json:
    """How requests ended: the closed vocabulary."""
    options: list[Json] = [{"selected": True, "text": "All", "value": ALL}]
    options += [{"selected": False, "text": o.value, "value": o.value} for o in Outcome]
    return _json(
        Template(
            name="outcome",
            label="Outcome",
            query=",".join(o.value for o in Outcome),
            type="custom",
            options=options,
            includeAll=True,
            multi=True,
        ),
        current={"selected": True, "text": ["All"], "value": [ALL]},
    )


def trace() -> Json:
    """One request, by its trace id."""
    return _json(
        Template(name="trace", label="Trace id", query="", default="", type="textbox", options=[]),
        current={"selected": True, "text": "", "value": ""},
        options=[{"selected": True, "text": "", "value": ""}],
        description="A request by its trace id, 32 hexadecimal digits; empty for the slowest request of the range.",
    )


_OUTDATED: Final = ("useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count")


def _json(template: Template, **more: object) -> Json:
    data = {key: value for key, value in template.to_json_data().items() if key not in _OUTDATED and value is not None}
    return data | {"skipUrlSync": False} | more
