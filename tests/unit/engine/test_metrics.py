"""OTLP metrics become rows: every kind of point, what is no point, what is hostile."""

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.domain.tiers import Tiers
from telemetry.engine.metrics import DecodedMetrics, MetricDecoder, MetricSettings
from telemetry.feeds.base import Record
from telemetry.store.tables import stored_columns
from tests.support.metric_messages import NOW, NOW_NS, attributes, of_the_sdk, point, request

NAN = math.nan
PLACE = {"topic", "partition", "block", "writer", "stored"}


def decode(*values: bytes, **changes: Any) -> DecodedMetrics:
    """Decode messages of one partition."""
    records = [Record(0, 7 + place, NOW, value) for place, value in enumerate(values)]
    return MetricDecoder(MetricSettings(**changes)).decode(records)


def rows(*values: bytes, **changes: Any) -> list[dict[str, Any]]:
    """Their rows."""
    found = decode(*values, **changes)
    assert found.rejected == []
    return list(found.rows.to_pylist())


def row_of(kind: str, name: str = "m", **fields: Any) -> dict[str, Any]:
    """The row of one point."""
    message, metrics = request()
    point(metrics, name, kind, **fields)
    (row,) = rows(message.SerializeToString())
    return row


def test_the_columns_are_the_logs() -> None:
    """All of them, but for those that say where a row stands."""
    message, metrics = request()
    point(metrics, "m", "gauge", as_double=1.0)
    table = decode(message.SerializeToString()).rows
    assert set(table.column_names) == set(stored_columns("metric_log")) - PLACE
    assert decode().rows.schema.names == table.schema.names


def test_where_a_point_comes_from() -> None:
    """From its resource; scope, record and arrival."""
    row = row_of("gauge", "connections", as_int=3)
    wanted = {"metric": "connections", "unit": "s", "type": "gauge", "temporality": "", "is_monotonic": False}
    wanted |= {"component": "envoy-fra", "tier": "edge", "pop": "fra", "region": "eu-central-1", "zone": "eu-1a"}
    wanted |= {"environment": "prod", "instance": "i-1", "scope": "lib", "kind": "point", "last_offset": 7}
    assert {name: row[name] for name in wanted} == wanted
    assert (row["time"].value, row["start_time"].value) == (NOW_NS, NOW_NS - 60 * 10**9)
    assert int(row["arrived"].timestamp() * 1000) == NOW


def test_a_resource_that_names_little() -> None:
    """The tier by pattern, the zone where no PoP is named, older names."""
    message, metrics = request({"service.name": "lb-7", "zone": "eu-1b", "deployment.environment": "test"})
    point(metrics, "m", "gauge", as_double=1.0)
    (row,) = rows(message.SerializeToString(), tiers=Tiers(patterns=(("lb-*", "balancer"),)))
    assert (row["tier"], row["pop"], row["zone"], row["environment"]) == ("balancer", "eu-1b", "eu-1b", "test")


@pytest.mark.parametrize("value", [0.0, -1.5, math.inf, -math.inf])
def test_a_gauge(value: float) -> None:
    """Any float is a value."""
    assert row_of("gauge", as_double=value)["value"] == value


def test_nan_is_a_value() -> None:
    """And no reason to drop a point."""
    assert math.isnan(row_of("gauge", as_double=NAN)["value"])


def test_a_sum() -> None:
    """Its temporality, whether it only grows, whole numbers."""
    row = row_of("sum", as_int=-(2**40), temporality=1, is_monotonic=False)
    assert (row["type"], row["temporality"], row["is_monotonic"], row["value"]) == ("sum", "delta", False, -(2.0**40))
    row = row_of("sum", as_int=5)
    assert (row["temporality"], row["is_monotonic"]) == ("cumulative", True)
    assert row_of("sum", as_int=5, temporality=0)["temporality"] == ""


def test_a_series_that_ended() -> None:
    """No value, and a flag that says so (opentelemetry-proto, DataPointFlags)."""
    row = row_of("gauge", flags=1)
    assert (row["flags"], math.isnan(row["value"])) == (1, True)


def test_a_histogram() -> None:
    """With bounds, and with a sum alone."""
    row = row_of("histogram", count=6, sum=7.5, min=0.1, max=4.0, explicit_bounds=[1.0, 2.0], bucket_counts=[1, 2, 3])
    assert (row["type"], row["count"], row["sum"], row["min"], row["max"]) == ("histogram", 6, 7.5, 0.1, 4.0)
    assert (row["bounds"], row["bucket_counts"], row["value"]) == ([1.0, 2.0], [1, 2, 3], 0.0)
    bare = row_of("histogram", count=6)
    assert (bare["bounds"], bare["bucket_counts"]) == ([], [])
    assert all(math.isnan(bare[name]) for name in ("sum", "min", "max"))


def test_an_exponential_histogram() -> None:
    """Scale, zeros and both sides."""
    message, metrics = request()
    one = point(metrics, "m", "exponential_histogram", count=9, sum=1.0, scale=-3, zero_count=2, zero_threshold=0.25)
    one.positive.offset, one.negative.offset = -7, 4
    one.positive.bucket_counts.extend([1, 2**63])
    one.negative.bucket_counts.extend([4])
    (row,) = rows(message.SerializeToString())
    assert (row["type"], row["scale"], row["zero_count"], row["zero_threshold"]) == (
        "exponential_histogram",
        -3,
        2,
        0.25,
    )
    assert (row["positive_offset"], row["positive_counts"]) == (-7, [1, 2**63])
    assert (row["negative_offset"], row["negative_counts"]) == (4, [4])
    assert row["bounds"] == row["bucket_counts"] == []


def test_a_summary() -> None:
    """Levels and values."""
    message, metrics = request()
    one = point(metrics, "m", "summary", count=3, sum=4.5)
    for level, value in ((0.5, 1.0), (0.99, NAN)):
        quantile = one.quantile_values.add()
        quantile.quantile, quantile.value = level, value
    (row,) = rows(message.SerializeToString())
    assert (row["type"], row["count"], row["sum"], row["quantile_levels"]) == ("summary", 3, 4.5, [0.5, 0.99])
    assert math.isnan(row["quantile_values"][1])
    assert math.isnan(row["min"])


def test_kinds_in_any_order_keep_their_values() -> None:
    """Histograms are kept apart from other points until the end."""
    message, metrics = request()
    for n in range(20):
        if n % 3:
            point(metrics, f"m{n}", "gauge", as_double=float(n), attributes={"n": n})
        else:
            fields = {"explicit_bounds": [float(n)], "bucket_counts": [n, 1]}
            point(metrics, f"m{n}", "histogram", count=n, attributes={"n": n}, **fields)
    found = rows(message.SerializeToString())
    for n, row in enumerate(found):
        assert (row["metric"], row["attributes"]) == (f"m{n}", [("n", str(n))])
        assert (row["value"], row["count"], row["bounds"]) == ((float(n), 0, []) if n % 3 else (0.0, n, [float(n)]))


def test_attributes_of_all_types() -> None:
    """As text; of lists and maps only the name."""
    values = {"text": "größe", "yes": True, "no": False, "whole": -7, "float": 0.1, "empty": ""}
    message, metrics = request()
    one = point(metrics, "m", "gauge", as_double=1.0, attributes=values)
    pair = one.attributes.add()
    pair.key = "list"
    pair.value.array_value.values.add().int_value = 1
    (row,) = rows(message.SerializeToString())
    assert dict(row["attributes"]) == {
        "text": "größe",
        "yes": "true",
        "no": "false",
        "whole": "-7",
        "float": "0.1",
        "empty": "",
        "list": "",
    }


def test_exemplars() -> None:
    """Those that lead to a trace."""
    message, metrics = request()
    points = [
        point(metrics, "a", "histogram", count=1, explicit_bounds=[1.0], bucket_counts=[0, 1]),
        point(metrics, "b", "gauge", as_double=1.0),
        point(metrics, "c", "sum", as_int=1),
    ]
    for number, (one, trace) in enumerate(((points[0], 16), (points[0], 3), (points[2], 16), (points[2], 16))):
        exemplar = one.exemplars.add()
        exemplar.time_unix_nano = NOW_NS + number
        exemplar.as_double = number + 0.5
        exemplar.trace_id, exemplar.span_id = bytes([number]) * trace, bytes(7) + bytes([number])
    found = rows(message.SerializeToString())
    assert [row["exemplars.value"] for row in found] == [[0.5], [], [2.5, 3.5]]
    assert found[2]["exemplars.trace_id"] == [b"\x02" * 16, b"\x03" * 16]
    assert found[2]["exemplars.span_id"] == [2, 3]
    assert [t.value for t in found[0]["exemplars.time"]] == [NOW_NS]


DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (NOW_NS, NOW_NS),
        (NOW_NS + 299 * 10**9, NOW_NS + 299 * 10**9),
        (NOW_NS + 302 * 10**9, NOW_NS),
        (NOW_NS - 6 * DAY_NS, NOW_NS - 6 * DAY_NS),
        (NOW_NS - 8 * DAY_NS, NOW_NS),
        (0, NOW_NS),
        (2**64 - 1, NOW_NS),
    ],
)
def test_a_time_that_cannot_be_right_becomes_the_arrival(said: int, stored: int) -> None:
    """As of paths."""
    row = row_of("gauge", as_double=1.0, time=said, start=0)
    assert (row["time"].value, row["start_time"].value) == (stored, 0)


@pytest.mark.parametrize(("start", "stored"), [(0, 0), (1, 1), (NOW_NS, NOW_NS), (NOW_NS + 1, 0), (2**64 - 1, 0)])
def test_a_start_after_its_point_is_unknown(start: int, stored: int) -> None:
    """A counter may have begun long ago, but not later."""
    assert row_of("sum", as_int=1, start=start)["start_time"].value == stored


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("gauge", {}),
        ("sum", {}),
        ("histogram", {"explicit_bounds": [1.0], "bucket_counts": [1]}),
        ("histogram", {"explicit_bounds": [], "bucket_counts": [1, 2]}),
        ("histogram", {"explicit_bounds": [2.0, 1.0], "bucket_counts": [1, 1, 1]}),
        ("histogram", {"explicit_bounds": [1.0, 1.0], "bucket_counts": [1, 1, 1]}),
        ("histogram", {"explicit_bounds": [1.0, NAN], "bucket_counts": [1, 1, 1]}),
        ("histogram", {"explicit_bounds": [float(n) for n in range(2_000)], "bucket_counts": [1] * 2_001}),
    ],
)
def test_what_cannot_be_a_point_is_left_out_and_counted(kind: str, fields: dict[str, Any]) -> None:
    """And the rest of its message is kept."""
    message, metrics = request()
    point(metrics, "before", "gauge", as_double=1.0)
    point(metrics, "bad", kind, **fields)
    point(metrics, "after", "gauge", as_double=2.0)
    found = decode(message.SerializeToString())
    assert (found.points, found.invalid, found.rejected) == (2, 1, [])
    assert found.rows.column("metric").to_pylist() == ["before", "after"]


def test_too_many_buckets() -> None:
    """Of an exponential histogram, on either side."""
    for side in ("positive", "negative"):
        message, metrics = request()
        one = point(metrics, "m", "exponential_histogram", count=1)
        getattr(one, side).bucket_counts.extend([1] * 1_025)
        assert (decode(message.SerializeToString()).points, decode(message.SerializeToString()).invalid) == (0, 1)


def test_a_metric_without_data() -> None:
    """Of a kind that is newer than we are."""
    message, metrics = request()
    metrics.add().name = "m"
    assert decode(message.SerializeToString()).points == 0


def test_hostile_strings_and_lists_are_bounded() -> None:
    """Names, values, how many of them."""
    message, metrics = request({"service.name": "s" * 10_000, "service.instance.id": "\x00\n" + "9" * 50})
    values = {f"key-{n}-" + "k" * 5_000: "v" * 100_000 for n in range(200)}
    one = point(metrics, "n" * 10_000, "gauge", as_double=1.0, attributes=values)
    for _ in range(50):
        exemplar = one.exemplars.add()
        exemplar.as_int, exemplar.trace_id, exemplar.span_id = 1, bytes(16), bytes(8)
    (row,) = rows(message.SerializeToString())
    assert (len(row["metric"]), len(row["component"]), len(row["attributes"])) == (255, 100, 64)
    assert max(len(key) + len(value) for key, value in row["attributes"]) <= 255 + 256
    assert len(row["exemplars.value"]) == 8
    assert row["instance"] == "{number}{number}"


def test_too_many_points_in_a_message() -> None:
    """Rejected whole, with the reason; others land."""
    message, metrics = request()
    for n in range(11):
        point(metrics, f"m{n}", "gauge", as_double=1.0)
    good, metrics = request()
    point(metrics, "m", "gauge", as_double=1.0)
    found = decode(message.SerializeToString(), good.SerializeToString(), max_points=10)
    ((record, reason),) = found.rejected
    assert (record.offset, reason) == (7, "11 data points in one message; 10 may be")
    assert (found.points, found.rows.column("last_offset").to_pylist()) == (1, [8])


@pytest.mark.parametrize("value", [b"\x0a\xff no metrics", b"\x0a\x80", b"\xff"])
def test_what_is_no_message_is_rejected(value: bytes) -> None:
    """With the reason, and the others land."""
    message, metrics = request()
    point(metrics, "m", "gauge", as_double=1.0)
    found = decode(value, message.SerializeToString())
    ((record, reason),) = found.rejected
    assert record.value == value
    assert reason.startswith("no OTLP metrics")
    assert found.points == 1


def test_card_numbers_and_secrets_are_not_kept() -> None:
    """Senders that lack the SDK send what they like, and Kafka hands it on."""
    card = "4111 1111 1111 1111"
    message, metrics = request({"service.name": f"pay {card}"}, scope=card)
    values = {"note": f"paid by {card}", "password": "hush", f"of {card}": "x", "number": 4111111111111111}
    point(metrics, f"m {card}", "gauge", as_double=1.0, attributes=values)
    (row,) = rows(message.SerializeToString())
    assert "4111" not in str(row)
    assert "hush" not in str(row)


def test_an_attribute_that_was_seen_before() -> None:
    """The same for every point; a flood of new ones does not fill the memory."""
    decoder = MetricDecoder(MetricSettings(known=10))
    for turn in range(3):
        message, metrics = request()
        for n in range(30):
            point(metrics, "m", "gauge", as_double=1.0, attributes={"route": "/a\x07", "n": n + 100 * turn})
        found = decoder.decode([Record(0, turn, NOW, message.SerializeToString())]).rows.to_pylist()
        assert [dict(row["attributes"]) for row in found] == [
            {"route": "/a", "n": str(n + 100 * turn)} for n in range(30)
        ]
        assert len(decoder._clean) <= 10


def test_what_opentelemetrys_sdk_sends() -> None:
    """Counter, gauge, both histograms."""
    now = time.time_ns() // 1_000_000
    found = MetricDecoder(MetricSettings()).decode([Record(0, 1, now, of_the_sdk())])
    by_name = {row["metric"]: row for row in found.rows.to_pylist()}
    assert (found.points, found.invalid) == (4, 0)
    assert (by_name["requests"]["value"], by_name["requests"]["temporality"]) == (6.0, "cumulative")
    assert dict(by_name["requests"]["attributes"]) == {"http.route": "/v1/charges"}
    assert (by_name["duration"]["bounds"], by_name["duration"]["bucket_counts"]) == ([0.1, 1.0], [1, 1, 1])
    assert (by_name["duration"]["min"], by_name["duration"]["max"], by_name["duration"]["count"]) == (0.05, 5.0, 3)
    assert sum(by_name["exponential"]["positive_counts"]) == by_name["exponential"]["count"] == 3
    assert by_name["temperature"]["value"] == 21.5
    assert {row["component"] for row in by_name.values()} == {"envoy-fra"}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_bytes_break_nothing(data: st.DataObject) -> None:
    """A message with changed, missing or added bytes is decoded or rejected, and the next one lands."""
    message, metrics = request()
    one = point(metrics, "a", "exponential_histogram", count=1, attributes={"k": "v", "n": 1})
    one.positive.bucket_counts.extend([1, 2])
    point(metrics, "b", "histogram", count=3, explicit_bounds=[1.0], bucket_counts=[1, 2])
    attributes(point(metrics, "c", "sum", as_int=1), {"q": 0.5})
    broken = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    good, metrics = request()
    point(metrics, "good", "gauge", as_double=1.0)
    found = decode(bytes(broken), good.SerializeToString())
    assert found.points == found.rows.num_rows >= 1
    assert found.rows.column("metric").to_pylist()[-1] == "good"
