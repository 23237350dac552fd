"""Dashboard files as the page reads them."""

import json
from pathlib import Path
from typing import Any

import pytest

from telemetry.errors import ConfigurationError
from telemetry.web.app import default_dashboards
from telemetry.web.boards import load_boards


def panel(**changes: Any) -> dict[str, Any]:
    """A panel with these things changed."""
    return {
        "id": 1,
        "type": "table",
        "title": "Rows",
        "gridPos": {"x": 0, "y": 0, "w": 24, "h": 8},
        "targets": [{"rawSql": "SELECT 1 AS one", "format": 1, "refId": "A"}],
    } | changes


def write(directory: Path, *panels: dict[str, Any], name: str = "a.json", uid: str = "a") -> Path:
    """A dashboard file with these panels; the directory."""
    (directory / name).write_text(json.dumps({"uid": uid, "title": "A", "panels": list(panels)}))
    return directory


def test_the_generated_dashboards_load() -> None:
    """They are what an installation draws by default."""
    boards = load_boards(default_dashboards())

    assert list(boards) == ["edgepath-overview", "edgepath-path"]
    assert all(board.panels and board.variables for board in boards.values())


def test_no_query_reaches_the_browser(tmp_path: Path) -> None:
    """The layout that a browser draws by has no SQL in it, for a browser has nothing to run."""
    (board,) = load_boards(write(tmp_path, panel())).values()

    assert "SELECT" not in json.dumps(board.layout)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "heatmap"}, "panel 'Rows' is of type heatmap, not one of barchart"),
        ({"targets": [{"rawSql": "DROP TABLE request_paths"}]}, "its query is not one SELECT"),
        ({"targets": [{"rawSql": "SELECT 1; DROP TABLE x"}]}, "its query is not one SELECT"),
        ({"targets": [{"expr": "up"}]}, "it lacks 'rawSql'"),
        ({"interval": "soon"}, "'soon' is no interval"),
    ],
)
def test_a_dashboard_that_cannot_be_drawn_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The file, the panel, the reason."""
    with pytest.raises(ConfigurationError, match=rf"a\.json is no dashboard that this page can draw: .*{message}"):
        load_boards(write(tmp_path, panel(**changes)))


def test_broken_json_an_empty_directory_and_a_doubled_uid(tmp_path: Path) -> None:
    """Each has its own words and its mend."""
    with pytest.raises(ConfigurationError, match=r"no dashboards in .*edgepath dashboards build --out"):
        load_boards(tmp_path)
    write(tmp_path, panel())
    write(tmp_path, panel(), name="b.json")
    with pytest.raises(ConfigurationError, match="have the same uid"):
        load_boards(tmp_path)
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"b\.json is no dashboard"):
        load_boards(tmp_path)
