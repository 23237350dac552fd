"""Redaction of attributes: by name, by content, whatever their type."""

from typing import Any

import pytest

from telemetry.redaction import CARD, SECRET, redact_attribute, redact_attributes
from telemetry.redaction.names import Kind, kind

CARD_NUMBER = "4111111111111111"


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("note", CARD_NUMBER, CARD),
        ("note", int(CARD_NUMBER), CARD),
        ("note", float(CARD_NUMBER), CARD),
        ("note", CARD_NUMBER.encode(), CARD),
        ("note", ("a", f"b {CARD_NUMBER}"), ("a", f"b {CARD}")),
        ("note", (1, int(CARD_NUMBER)), ("1", CARD)),
        ("note", ("4111", "1111", "1111", "1111"), (CARD,) * 4),
        ("note", {"a": {"b": [CARD_NUMBER]}}, {"a": {"b": (CARD,)}}),
        ("note", {"pin": 1234, "n": 1}, {"pin": SECRET, "n": 1}),
        ("http.request.header.authorization", ("Bearer abc",), SECRET),
        ("http.request.header.x-api-key", "abc", SECRET),
        ("http.response.header.set-cookie", "a=b", SECRET),
        ("card.cvv", 123, SECRET),
        ("payment.securityCode", "123", SECRET),
        ("PIN", "1234", SECRET),
        ("card_number", "no digits at all", CARD),
        ("track2", "x", CARD),
        ("order_id", CARD_NUMBER, CARD),
        ("request_id", CARD_NUMBER, CARD),
    ],
)
def test_what_goes(name: str, value: Any, left: Any) -> None:
    """By content under any name; by name whatever the content."""
    assert redact_attribute(name, value) == left


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trace_id", "41111111111111111111111111111111"),
        ("span_id", "4111111111111111"),
        ("dd.trace_id", "4111111111111111111"),
        ("guid:x-request-id", "41111111-1111-4111-8111-11111111111a"),
        ("service.instance.id", "41111111-1111-4111-8111-11111111111a"),
        ("session.id", "abc"),
        ("http.response.status_code", 200),
        ("at", 1_780_000_000_123_456_789),
        ("ok", True),
        ("ratio", 0.5),
        ("empty", None),
        ("password", ""),
        ("names", ("a", "b")),
        ("numbers", (1, 2, 3)),
        ("map", {"a": 1}),
    ],
)
def test_what_stays(name: str, value: Any) -> None:
    """The very same object: ids that have an id's shape, numbers, times, what is empty."""
    assert redact_attribute(name, value) is value


def test_only_what_changed_is_given() -> None:
    """``None`` if nothing had to go; a name that holds something is replaced as well."""
    assert redact_attributes({"a": "b", "n": 1}) is None
    assert redact_attributes({"a": "b", "c": CARD_NUMBER}) == {"c": CARD}
    assert redact_attributes({f"x {CARD_NUMBER}": "b"}) == {f"x {CARD_NUMBER}": None, f"x {CARD}": "b"}


def test_what_is_nested_too_deep_goes() -> None:
    """Nothing is kept that was not looked through."""
    deep: Any = "harmless"
    for _ in range(40):
        deep = [deep]
    assert "harmless" not in str(redact_attribute("x", deep))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("api_key", Kind.SECRET),
        ("apiKey", Kind.SECRET),
        ("X-API-KEY", Kind.SECRET),
        ("stripe.secretKey", Kind.SECRET),
        ("tokens", Kind.TEXT),
        ("token_type", Kind.TEXT),
        ("shipping", Kind.TEXT),
        ("japan", Kind.TEXT),
        ("http.route", Kind.TEXT),
        ("cvv2", Kind.CODE),
        ("cardCvc", Kind.CODE),
        ("card.number", Kind.CARD),
        ("parentSpanId", Kind.IDENTIFIER),
    ],
)
def test_what_names_say(name: str, expected: Kind) -> None:
    """Words count, however they are joined; parts of words do not."""
    assert kind(name) is expected
