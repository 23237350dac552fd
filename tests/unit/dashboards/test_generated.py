"""The generated files: what the code makes, and what Grafana can read."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dashboards import build
from telemetry.cli.dashboards import dashboards as command
from telemetry.errors import ConfigurationError

UIDS = ("edgepath-overview", "edgepath-path")
BOARDS = {uid: json.loads((build.GENERATED / f"{uid}.json").read_text(encoding="utf-8")) for uid in UIDS}
ALL = [(uid, panel) for uid in UIDS for panel in BOARDS[uid]["panels"]]
PANELS = [pytest.param(uid, panel, id=f"{uid}-{panel['title']}") for uid, panel in ALL]
QUERIED = [pytest.param(uid, panel, id=f"{uid}-{panel['title']}") for uid, panel in ALL if panel["type"] != "row"]

# Ids of Grafana's own units (packages/grafana-data/src/valueFormats/categories.ts) that we use.
UNITS = {"ns", "reqps", "percentunit", "short", "none", "time:HH:mm:ss", "time:HH:mm:ss.SSS"}


def test_the_files_are_what_the_code_makes() -> None:
    """A golden: whoever changes a panel writes the files anew and sees the difference in review."""
    assert build.outdated() == []
    assert set(build.dashboards()) == set(UIDS)


def test_a_changed_a_missing_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    """``edgepath dashboards check`` says which file and why."""
    build.write(tmp_path)
    (tmp_path / "edgepath-path.json").write_text("{}")
    (tmp_path / "edgepath-overview.json").unlink()
    (tmp_path / "old.json").write_text("{}")

    assert build.outdated(tmp_path) == [
        f"{tmp_path}/edgepath-overview.json: missing",
        f"{tmp_path}/edgepath-path.json: not what the code makes",
        f"{tmp_path}/old.json: no code makes it",
    ]


def test_an_unwritable_directory_is_a_configuration_error(tmp_path: Path) -> None:
    """It names the directory and the option."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"cannot write dashboards to .*file/out: .*--out"):
        build.write(tmp_path / "file" / "out")


def test_the_command_builds_and_checks(tmp_path: Path) -> None:
    """``build --out DIR`` writes both; ``check`` passes on the committed ones."""
    runner = CliRunner()

    built = runner.invoke(command, ["build", "--out", str(tmp_path / "out")], catch_exceptions=False)
    checked = runner.invoke(command, ["check"], catch_exceptions=False)

    assert built.exit_code == 0
    assert "`edgepath slo rules --out DIR`" in built.stderr
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == set(UIDS)
    assert "2 dashboards are what the code makes" in checked.output


@pytest.mark.parametrize("uid", UIDS)
def test_panels_do_not_overlap_and_fit_in_24_columns(uid: str) -> None:
    """Grafana would move an overlapping panel somewhere else."""
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARDS[uid]["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_the_head_is_what_grafana_11_reads(uid: str) -> None:
    """Its uid, ids once each, a modern schema, the shared time range, and links between the dashboards."""
    board = BOARDS[uid]
    ids = [panel["id"] for panel in board["panels"]]

    assert board["uid"] == uid
    assert len(uid) <= 40
    assert len(set(ids)) == len(ids)
    assert all(isinstance(i, int) and i > 0 for i in ids)
    assert board["schemaVersion"] >= 39
    assert board["time"] == {"from": "now-1h", "to": "now"}
    assert board["refresh"] in board["timepicker"]["refresh_intervals"]
    assert board["id"] is None
    assert [link["tags"] for link in board["links"]] == [["edgepath"]]
    assert "edgepath" in board["tags"]


@pytest.mark.parametrize(("uid", "panel"), QUERIED)
def test_a_panel_says_what_it_tells_and_asks_the_chosen_clickhouse(uid: str, panel: dict[str, Any]) -> None:
    """Every panel has a description, a unit where it has numbers, and the query model of the datasource's version 4."""
    datasource = {"type": "grafana-clickhouse-datasource", "uid": "${datasource}"}
    (target,) = panel["targets"]

    assert uid in UIDS
    assert len(panel["description"]) > 40
    assert panel["datasource"] == target["datasource"] == datasource
    assert target["editorType"] == "sql"
    assert (target["queryType"], target["format"]) in {("timeseries", 0), ("table", 1)}
    assert target["format"] == (0 if panel["type"] == "timeseries" else 1)
    assert re.fullmatch(r"[A-Z]", target["refId"])


@pytest.mark.parametrize(("uid", "panel"), QUERIED)
def test_units_are_grafanas(uid: str, panel: dict[str, Any]) -> None:
    """An unknown unit would be shown as text behind the number."""
    defaults = panel["fieldConfig"]["defaults"]
    units = {defaults["unit"]} if defaults.get("unit") else set()
    for override in panel["fieldConfig"]["overrides"]:
        units |= {p["value"] for p in override["properties"] if p["id"] == "unit"}

    assert uid in UIDS
    assert units
    assert units <= UNITS


@pytest.mark.parametrize(("uid", "panel"), QUERIED)
def test_thresholds_rise_from_minus_infinity(uid: str, panel: dict[str, Any]) -> None:
    """The first step has no value, the others rise: else Grafana colours by the wrong one."""
    assert uid in UIDS
    found = [panel["fieldConfig"]["defaults"].get("thresholds")]
    for override in panel["fieldConfig"]["overrides"]:
        found += [p["value"] for p in override["properties"] if p["id"] == "thresholds"]
    for thresholds in filter(None, found):
        values = [step["value"] for step in thresholds["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


def _nulls(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in _nulls(v, f"{path}.{k}")]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in _nulls(v, f"{path}[{i}]")]
    return [path] if value is None else []


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_no_nulls_but_the_first_threshold(uid: str, panel: dict[str, Any]) -> None:
    """grafanalib writes null for what it has no value for; Grafana takes some of those for a choice."""
    assert uid in UIDS
    assert [path for path in _nulls(panel) if not path.endswith("steps[0].value")] == []


@pytest.mark.parametrize("uid", UIDS)
def test_variables_are_known_and_always_quoted(uid: str) -> None:
    """The datasource's default formatting does not escape quotes: each use in SQL is ``${name:singlequote}``."""
    board = BOARDS[uid]
    known = {variable["name"] for variable in board["templating"]["list"]}
    sqls = [target["rawSql"] for panel in board["panels"] for target in panel.get("targets", ())]
    sqls += [v["query"]["rawSql"] for v in board["templating"]["list"] if v["type"] == "query"]

    assert {"datasource", "environment", "pop", "route", "outcome"} <= known
    for sql in sqls:
        assert ";" not in sql
        assert "--" not in sql
        # The second argument of $__conditionalAll is a bare name: the datasource looks it up, and it never becomes SQL.
        bare = re.sub(r", \$(\w+)\)", lambda m: f", {m[1]})" if m[1] in known else m[0], sql)
        for name, form in re.findall(r"\$\{(\w+)(?::(\w+))?\}", bare):
            assert name in known
            assert form == "singlequote"
        assert not [name for name in re.findall(r"\$(\w+)", bare) if not name.startswith("__")]


@pytest.mark.parametrize("uid", UIDS)
def test_macros_are_not_nested(uid: str) -> None:
    """The datasource expands a macro inside another's arguments only since 4.20; $__conditionalAll is expanded before."""
    for panel in BOARDS[uid]["panels"]:
        for target in panel.get("targets", ()):
            for call in re.findall(r"\$__(?!conditionalAll)\w+\(([^()]*)\)", target["rawSql"]):
                assert "$__" not in call


@pytest.mark.parametrize("uid", UIDS)
def test_links_lead_to_our_dashboards_with_their_variables(uid: str) -> None:
    """A link's dashboard exists and has every variable that the link sets; values are percent-encoded."""
    variables = {u: {v["name"] for v in BOARDS[u]["templating"]["list"]} for u in UIDS}
    links = [
        link
        for panel in BOARDS[uid]["panels"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for p in override["properties"]
        if p["id"] == "links"
        for link in p["value"]
    ]

    assert links
    for link in links:
        target = re.match(r"/d/([\w-]+)\?", link["url"])
        assert target
        assert set(re.findall(r"var-(\w+)=", link["url"])) <= variables[target[1]]
        assert set(re.findall(r"\$\{(\w+):queryparam\}", link["url"])) <= variables[uid] & variables[target[1]]
        assert "${__value.raw}" not in link["url"]
        assert "${__url_time_range}" in link["url"]
