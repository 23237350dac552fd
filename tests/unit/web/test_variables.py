"""Variables out of a dashboard's JSON, and what an address may choose for them."""

from typing import Any

import pytest

from telemetry.errors import MalformedError
from telemetry.web.macros import ALL
from telemetry.web.variables import choose, read_variables


def item(**changes: Any) -> dict[str, Any]:
    """A query variable as Grafana writes it, with these things changed."""
    return {
        "name": "pop",
        "label": "PoP",
        "type": "query",
        "query": {"editorType": "sql", "rawSql": "SELECT 1"},
        "includeAll": True,
        "multi": True,
        "current": {"text": ["All"], "value": [ALL]},
        "hide": 0,
    } | changes


CUSTOM = item(
    name="outcome", type="custom", query="ok,timeout", options=[{"value": ALL}, {"value": "ok"}, {"value": "timeout"}]
)
TEXT = item(name="trace", type="textbox", query="", includeAll=False, multi=False, current={"value": ""})


def test_kinds_of_variables() -> None:
    """Query, custom and text; the datasource is the page's own."""
    query, custom, text = read_variables([{"name": "datasource", "type": "datasource"}, item(), CUSTOM, TEXT])

    assert (query.sql, query.default, query.multi) == ("SELECT 1", (ALL,), True)
    assert (custom.options, custom.default) == (("ok", "timeout"), (ALL,))
    assert (text.default, text.include_all) == (("",), False)


def test_nothing_chosen_is_the_default() -> None:
    """And what the dashboard does not know is not looked at."""
    variables = read_variables([item(), CUSTOM, TEXT])

    assert choose(variables, {"evil": ["x"]}) == {"pop": (ALL,), "outcome": (ALL,), "trace": ("",)}


def test_all_wins_over_values_beside_it() -> None:
    """As in Grafana."""
    assert choose(read_variables([item()]), {"pop": ["fra", ALL]}) == {"pop": (ALL,)}


def test_any_text_is_a_value_of_a_query_variable() -> None:
    """It need not be among today's options: a link may be old."""
    hostile = "fra' OR 1=1 --"

    assert choose(read_variables([item()]), {"pop": [hostile]}) == {"pop": (hostile,)}


@pytest.mark.parametrize(
    ("variable", "values", "message"),
    [
        (item(), ["x"] * 101, "101 values are too many"),
        (TEXT, ["a", "b"], "2 values are too many"),
        (item(), ["x" * 2001], "longer than 2000"),
        (CUSTOM, ["o'k"], "is none of ok, timeout"),
        (TEXT, [ALL], "there is no All"),
    ],
)
def test_what_cannot_be_chosen_is_refused(variable: dict[str, Any], values: list[str], message: str) -> None:
    """The message names the variable."""
    with pytest.raises(MalformedError, match=rf"var-\w+.*{message}"):
        choose(read_variables([variable]), {variable["name"]: values})
