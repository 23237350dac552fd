"""From panels to the files in ``dashboards/generated``: assemble, render, write, compare."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from grafanalib.core import Annotations, Dashboard, DashboardLink, Panel, Templating, Time, TimePicker

from dashboards.panels import Json, modern
from dashboards.variables import datasource
from telemetry.errors import ConfigurationError

GENERATED: Final = Path(__file__).parent / "generated"
TAG: Final = "edgepath"
SCHEMA_VERSION: Final = 39
"""Grafana 11's. Older ones are migrated by Grafana on load; grafanalib's own 12 would be taken for one with rows."""
REFRESH: Final = "30s"
REFRESHES: Final = ["5s", "10s", "30s", "1m", "5m"]
RANGES: Final = ["5m", "15m", "1h", "6h", "24h"]

_MODULES: Final = ("dashboards.overview", "dashboards.path")
_OUTDATED: Final = ("__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style")


def assemble(uid: str, title: str, description: str, variables: Sequence[Json], panels: Sequence[Panel]) -> Json:
    """A dashboard of ours: the head that all share, and these panels with ids in their order."""
    board = Dashboard(
        title=title,
        uid=uid,
        description=description,
        tags=[TAG],
        timezone="browser",
        time=Time("now-1h", "now"),
        timePicker=TimePicker(refreshIntervals=REFRESHES, timeOptions=RANGES),
        refresh=REFRESH,
        schemaVersion=SCHEMA_VERSION,
        graphTooltip=1,
        annotations=Annotations(list=[]),
        templating=Templating(list=[datasource(), *variables]),
        links=[
            DashboardLink(title="Edgepath", type="dashboards", tags=[TAG], includeVars=True, keepTime=True),
        ],
        panels=list(panels),
    ).auto_panel_ids()
    data = {key: value for key, value in board.to_json_data().items() if key not in _OUTDATED}
    plain: Json = json.loads(json.dumps(data, default=_data))
    return plain | {"fiscalYearStartMonth": 0, "liveNow": False, "id": None}


def _data(value: object) -> object:
    if isinstance(value, Panel):
        return modern(value)
    data: Json = value.to_json_data()  # type: ignore[attr-defined]  # grafanalib's objects, which ship no types
    return {key: item for key, item in data.items() if item is not None}


def dashboards() -> Mapping[str, Json]:
    """Every dashboard by its uid, made anew."""
    makers: list[Callable[[], Json]] = [import_module(name).dashboard for name in _MODULES]
    made = [make() for make in makers]
    return {board["uid"]: board for board in made}


def render(dashboard: Json) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(directory: Path = GENERATED) -> list[Path]:
    """Write every dashboard to ``directory``, which is made if need be; the files written.

    Raises:
        ConfigurationError: the directory cannot be written.
    """
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for uid, board in dashboards().items():
            path = directory / f"{uid}.json"
            path.write_text(render(board), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write dashboards to {directory}: {error.strerror}; name another with --out"
        ) from error
    return written


def outdated(directory: Path = GENERATED) -> list[str]:
    """What differs between the code and the files in ``directory``: one line a file, empty if nothing does."""
    wrong = []
    expected = {f"{uid}.json": render(board) for uid, board in dashboards().items()}
    for name, text in expected.items():
        path = directory / name
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif path.read_text(encoding="utf-8") != text:
            wrong.append(f"{path}: not what the code makes")
    for path in sorted(directory.glob("*.json")):
        if path.name not in expected:
            wrong.append(f"{path}: no code makes it")
    return wrong
