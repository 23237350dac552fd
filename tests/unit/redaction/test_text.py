"""Taking cards and secrets out of text: every disguise, secrets by name and by look, innocents untouched, linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.redaction import redact_text
from telemetry.redaction.text import CLEAN
from tests.redaction.check import stands
from tests.redaction.corpus import DISGUISES, NUMBERS, innocents

SOME = NUMBERS[::9]


@pytest.mark.parametrize("name", DISGUISES)
def test_no_disguise_passes(name: str) -> None:
    """In the middle of a text and alone; and the check that says so finds the number in what was not redacted."""
    for number in SOME:
        hidden = DISGUISES[name](number)
        for text in (hidden, f"card {hidden} was declined", f"/v1/cards/{hidden}/charges?ref=7a&x=1"):
            assert not stands(number, hidden, redact_text(text).encode()), text
            assert stands(number, hidden, text.encode())


@given(st.text(max_size=30), st.sampled_from(SOME), st.sampled_from(sorted(DISGUISES)), st.text(max_size=30))
def test_whatever_stands_around_it(before: str, number: str, name: str, after: str) -> None:
    """Any Unicode before and after, but for digits and what could belong to an encoding of one."""
    hidden = DISGUISES[name](number)
    text = f"{before} | {hidden} | {after}"
    assert hidden not in redact_text(text)


@given(st.text(max_size=200))
def test_twice_is_the_same_as_once(text: str) -> None:
    """What stands in place of a finding is no finding."""
    once = redact_text(text)
    assert redact_text(once) == once


@given(
    st.text(st.characters(exclude_categories=["Nd", "Nl", "No"]), max_size=100).filter(
        lambda t: not set(t) & set("=:@%&\\")
    )
)
def test_text_without_digits_and_names_stays(text: str) -> None:
    """And is the same object, which is how callers see it."""
    assert redact_text(text) is text or "eyJ" in text


@pytest.mark.parametrize("kind", innocents())
def test_innocents_stay(kind: str) -> None:
    """What real services put into attributes, paths and messages."""
    assert [value for value in innocents()[kind] if redact_text(value) is not value] == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cvv=123&x=1", "cvv=[secret]&x=1"),
        ('{"cvc": "1234", "name": "x"}', '{"cvc": "[secret]", "name": "x"}'),
        ("the CVV2 is 123.", "the CVV2 is [secret]."),
        ("security code was 1234", "security code was [secret]"),
        ("pin: 1234, tries: 3", "pin: [secret], tries: 3"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: [secret]"),
        ("authorization=Basic%20dXNlcjpwYXNz&a=1", "authorization=[secret]&a=1"),
        ("Cookie: sid=1; theme=dark", "Cookie: [secret]"),
        ("x-api-key: k-123 next", "x-api-key: [secret] next"),
        ("apiKey=abc&limit=10", "apiKey=[secret]&limit=10"),
        ("/login?user=a&password=p%40ss&next=/", "/login?user=a&password=[secret]&next=/"),
        ('{"client_secret":"a\\"b"}', '{"client_secret":"[secret]"}'),
        ("%22cvv%22%3A%22123%22", "%22cvv%22%3A%22[secret]%22"),
        ("postgres://app:hunter2@db:5432/x", "postgres://[secret]@db:5432/x"),
        ("key sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc used", "key [secret] used"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "got [secret]"),
        ("AKIA" + "IOSFODNN7EXAMPLE", "[secret]"),
        ("%B4111111111111111^DOE/JANE^27121010000000000000?", "%B[card]"),
        ("4111111111111111D27121010000012345678", "[card]"),
    ],
)
def test_secrets_by_name_and_by_look(text: str, left: str) -> None:
    """Only the value goes; the name stays, so that one can see what was there."""
    assert redact_text(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "shipping=1234",
        "spin: 1234",
        "token_count=12",
        "cvv: invalid",
        "pinned: 42",
        "the token expired",
        "a: b",
        "x=1&y=2",
    ],
)
def test_names_that_only_look_alike(text: str) -> None:
    """No false alarm on part of a word, or on what cannot be a code."""
    assert redact_text(text) is text


@pytest.mark.parametrize(
    "unit",
    [
        "4", "4 ", "4%20", "%25", "&#5", "\\u0034", "a=", "cvv ", "pin: ", "411111111111111", "NDExMTEx", "eyJa.", "://a@", "٤",
        "\u200b", '\\"', "Bearer ", "0", "4111111111111111=", "is ", 'password="', "Cookie: ", "4111-", "3431", "sk_live_",
        "a_", "x.", "12345678-1234-1234-8123-123456789012 ",
    ],
)  # fmt: skip
def test_hostile_text_takes_time_in_proportion(unit: str) -> None:
    """Eight times the length takes about eight times as long; sixty-four would be quadratic. Wide, for busy machines."""

    def seconds(length: int) -> float:
        best = 9e9
        for _ in range(3):
            begun = time.process_time()
            redact_text(unit * (length // len(unit)))
            best = min(best, time.process_time() - begun)
        return best

    assert seconds(32_000) < 24 * max(seconds(4_000), 0.0005)


def test_what_was_found_is_not_remembered() -> None:
    """The memory of clean texts is bounded, and no card number gets into it."""
    redact_text("4111 1111 1111 1111")
    for nth in range(10_000):
        redact_text(f"/v1/charges/ch_{nth}")
    assert len(CLEAN) <= 4096
    assert not any("4111 1111" in text for text in CLEAN)
