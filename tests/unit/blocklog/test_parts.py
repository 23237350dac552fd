"""Where a part of a block comes from."""

import pytest

from telemetry.blocklog.parts import from_other_rows


@pytest.mark.parametrize(
    ("select", "wanted"),
    [
        ("SELECT a FROM d.feed", "SELECT a FROM (x)"),
        ("SELECT a FROM (SELECT b FROM d.feed AS p WHERE c)", "SELECT a FROM (SELECT b FROM (x) AS p WHERE c)"),
        ("SELECT a FROM (SELECT b FROM d.feed)", "SELECT a FROM (SELECT b FROM (x))"),
        ("SELECT a FROM `d`.feed", "SELECT a FROM (x)"),
        ("SELECT a FROM d.feeding", ""),
        ("SELECT a FROM other.feed", ""),
        ("SELECT a FROM d.feed WHERE b = ' FROM d.feed '", ""),
    ],
)
def test_a_view_of_other_rows(select: str, wanted: str) -> None:
    """As ClickHouse writes a view's SELECT; where it is not sure that the table stands there once, nothing."""
    assert from_other_rows(select, "d", "feed", "(x)") == wanted
