"""Dashboards as files: the JSON that Grafana reads, looked at for what this page needs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from telemetry.errors import ConfigurationError, MalformedError
from telemetry.web.timerange import parse_duration
from telemetry.web.variables import Variable, read_variables

DEFAULT_MAX_POINTS: Final = 300
PANEL_TYPES: Final = frozenset({"timeseries", "stat", "table", "bargauge", "barchart", "row", "text"})
_READS: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One target of a panel.

    Attributes:
        sql: with macros and variables.
        time_series: whether long rows become one series a name (``format`` 0).
    """

    sql: str
    time_series: bool


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        layout: what the browser draws by: the panel's JSON without its queries.
        min_interval_ms: the least distance of points.
    """

    id: int
    queries: tuple[Query, ...]
    max_points: int
    min_interval_ms: int
    layout: Json


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    variables: tuple[Variable, ...]
    panels: Mapping[int, Panel]
    layout: Json


def load_boards(directory: Path) -> dict[str, Board]:
    """Every ``*.json`` of ``directory`` by its uid, in order of file name.

    Raises:
        ConfigurationError: the directory is not there or empty, or a file is no dashboard; the message names the file.
    """
    files = sorted(directory.glob("*.json"))
    if not files:
        raise ConfigurationError(
            f"no dashboards in {directory}: write them with `edgepath dashboards build --out {directory}`"
        )
    boards = [_load(path) for path in files]
    found = {board.uid: board for board in boards}
    if len(found) < len(boards):
        raise ConfigurationError(f"two dashboards in {directory} have the same uid; give each its own")
    return found


def _load(path: Path) -> Board:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        panels = [_panel(item) for item in data["panels"]]
        return Board(
            uid=str(data["uid"]),
            title=str(data["title"]),
            variables=tuple(read_variables(data.get("templating", {}).get("list", []))),
            panels={panel.id: panel for panel in panels},
            layout={
                "uid": data["uid"],
                "title": data["title"],
                "description": data.get("description", ""),
                "refresh": data.get("refresh") or "",
                "time": data.get("time") or {"from": "now-1h", "to": "now"},
                "ranges": data.get("timepicker", {}).get("time_options") or [],
                "panels": [panel.layout for panel in panels],
            },
        )
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, MalformedError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(
            f"{path} is no dashboard that this page can draw: {reason}; see docs/dashboards.md for what it can"
        ) from error


def _panel(item: Json) -> Panel:
    kind = item["type"]
    if kind not in PANEL_TYPES:
        raise ValueError(f"panel {item.get('title')!r} is of type {kind}, not one of {', '.join(sorted(PANEL_TYPES))}")
    queries = []
    for target in item.get("targets") or ():
        sql = target["rawSql"]
        if not _READS.match(sql) or ";" in sql:
            raise ValueError(f"panel {item.get('title')!r}: its query is not one SELECT")
        queries.append(Query(sql, target.get("format", 1) == 0))
    shown = ("id", "type", "title", "description", "gridPos", "fieldConfig", "options", "collapsed")
    return Panel(
        id=int(item["id"]),
        queries=tuple(queries),
        max_points=int(item.get("maxDataPoints") or DEFAULT_MAX_POINTS),
        min_interval_ms=parse_duration(item["interval"]) if item.get("interval") else 1000,
        layout={key: item[key] for key in shown if key in item},
    )
