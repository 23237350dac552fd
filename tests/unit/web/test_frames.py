"""Results as frames for the browser."""

import json
import math
from datetime import UTC, datetime

from telemetry.store.base import Result
from telemetry.web.frames import frame

T0, T1 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
MS0, MS1 = 1767225600000.0, 1767225660000.0


def test_long_rows_become_a_series_a_name() -> None:
    """As Grafana's ``LongToWide``: a name without a value at some time is null there."""
    result = Result(("time", "pop", "value"), [(T0, "fra", 1.0), (T0, "iad", 2.0), (T1, "fra", 3.0)])

    assert frame(result, time_series=True)["fields"] == [
        {"name": "time", "type": "time", "labels": {}, "values": [MS0, MS1]},
        {"name": "value", "type": "number", "labels": {"pop": "fra"}, "values": [1.0, 3.0]},
        {"name": "value", "type": "number", "labels": {"pop": "iad"}, "values": [2.0, None]},
    ]


def test_wide_rows_stay_wide() -> None:
    """A column a series."""
    fields = frame(Result(("time", "p50", "p99"), [(T0, 1, 2), (T1, None, 4)]), time_series=True)["fields"]

    assert [(f["name"], f["values"]) for f in fields] == [("time", [MS0, MS1]), ("p50", [1, None]), ("p99", [2, 4])]


def test_a_table_is_left_as_it_is() -> None:
    """Also with a time and a name in it."""
    fields = frame(Result(("Time", "Route", "n"), [(T0, "/a", 1)]), time_series=False)["fields"]

    assert [(f["name"], f["type"]) for f in fields] == [("Time", "time"), ("Route", "string"), ("n", "number")]


def test_every_value_can_be_said_in_json() -> None:
    """NaN and infinity are null, bytes hexadecimal, arrays lists."""
    row = (math.nan, math.inf, b"\x00\xff", ["a", 1], (1, 2), {"k": 1}, True, None)
    fields = frame(Result(tuple("abcdefgh"), [row]), time_series=False)["fields"]

    assert [f["values"][0] for f in fields] == [None, None, "00ff", ["a", 1], [1, 2], "{'k': 1}", True, None]
    json.dumps(fields, allow_nan=False)


def test_no_rows_are_no_series() -> None:
    """An empty answer is an empty frame."""
    assert frame(Result(("time", "pop", "value"), []), time_series=True)["fields"][0]["values"] == []
