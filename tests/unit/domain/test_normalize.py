"""The strings of the outside in closed forms."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry.domain import normalize

ANY_TEXT = st.text(max_size=300) | st.text(alphabet="0123456789 -/?#.aé\x00\n", max_size=300)
TEXTS: list[Callable[[str], str]] = [
    normalize.text,
    normalize.route,
    normalize.path,
    normalize.flags,
    lambda value: normalize.error(value, 0, 0),
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/v1/charges", "/v1/charges"),
        ("/v1/charges?card=4111111111111111", "/v1/charges"),
        ("/v1/charges#fragment?x", "/v1/charges"),
        ("/v1/customers/17", "/v1/customers/{id}"),
        ("/v1/customers/17/cards/4", "/v1/customers/{id}/cards/{id}"),
        ("/1/2/3/", "/{id}/{id}/{id}/"),
        ("/v1/customers/cus_9s6XKzkNRiz8i3", "/v1/customers/{id}"),
        ("/v1/customers/3fa85f64-5717-4562-b3fc-2c963f66afa6/cards", "/v1/customers/{id}/cards"),
        ("/v1/tokens/" + "x" * 40, "/v1/tokens/{id}"),
        ("/v1/tokens/" + "x" * 39, "/v1/tokens/" + "x" * 39),
        ("/v2/oauth2/b2b", "/v2/oauth2/b2b"),  # two digits are a version, three are an identifier
        ("https://api.example.com/v1/charges?x=1", "/v1/charges"),
        ("http://10.0.0.1:8080/v1/charges", "/v1/charges"),
        ("http://user:secret@host/v1", "/v1"),
        ("https://api.example.com", ""),
        ("https://api.example.com?card=4111111111111111", ""),
        ("", ""),
        ("*", "*"),
        ("/v1/\x00a\x1f\x7f\nb", "/v1/ab"),
        ("/straße/größe", "/straße/größe"),
        ("/" + "x/" * 300, ("/" + "x/" * 300)[:200]),
    ],
)
def test_path(value: str, expected: str) -> None:
    """No query, no fragment, no host, no user; identifiers as ``{id}``."""
    assert normalize.path(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/v1/customers/{id}", "/v1/customers/{id}"),
        ("/v1/" + "x" * 300, ("/v1/" + "x" * 300)[:200]),
        ("/v1/cards/4111111111111111", "/v1/cards/{number}"),
        ("/v1/cards/4111 1111-1111 1111/x", "/v1/cards/{number}/x"),
        ("/v1/cards/4111\x001111\x001111\x001111", "/v1/cards/{number}"),
        ("/v1/orders/123456789012", "/v1/orders/123456789012"),
    ],
)
def test_route(value: str, expected: str) -> None:
    """A template is taken as it is, but bounded, and a long number is never part of one."""
    assert normalize.route(value) == expected


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT, st.sampled_from(range(len(TEXTS))))
@example("4111111111111111", 0)
@example("4111 1111 1111 1111", 1)
@example("x" * 95 + "4111111111111111", 0)
@example("x" * 393 + "4111111111111111", 0)
@example("1" * 400, 0)
@example("5500005555555559 4111111111111111 340000000000009", 1)
def test_no_card_number_and_no_control_character_survives(value: str, which: int) -> None:
    """Whatever comes, and wherever it is cut."""
    out = TEXTS[which](value)
    assert not re.search(r"[0-9][0-9 -]{11,}[0-9]", out)
    assert not re.search(r"[\x00-\x1f\x7f]", out)
    assert len(out) <= normalize.ROUTE_LENGTH


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_a_path_keeps_no_query_and_is_stable(value: str) -> None:
    """Nothing after ``?`` or ``#``; what is normal stays as it is."""
    out = normalize.path(value)
    assert not set(out) & set("?#")
    assert normalize.text(out, normalize.ROUTE_LENGTH) == out


@pytest.mark.parametrize(
    ("value", "expected"),
    [("GET", "GET"), ("post", "POST"), ("QUERY", "QUERY"), ("", ""), ("BREW", "_OTHER"), ("GET" + "x" * 99, "_OTHER")],
)
def test_method(value: str, expected: str) -> None:
    """A closed set (semantic conventions for HTTP spans: ``_OTHER``)."""
    assert normalize.method(value) == expected


@pytest.mark.parametrize(("value", "expected"), [("-", ""), ("", ""), ("UF,URX", "UF,URX"), ("X" * 99, "X" * 32)])
def test_flags(value: str, expected: str) -> None:
    """Envoy's ``-`` is none."""
    assert normalize.flags(value) == expected


@pytest.mark.parametrize(
    ("error_type", "span_status", "http_status", "expected"),
    [
        ("timeout", 0, 0, "timeout"),
        ("timeout", 2, 504, "timeout"),
        ("", 2, 0, "error"),
        ("", 2, 404, ""),  # the HTTP status says more, and a 4xx on a CLIENT span is marked as an error
        ("", 1, 0, ""),
        ("", 0, 0, ""),
        ("x" * 300, 2, 0, "x" * 100),
    ],
)
def test_error(error_type: str, span_status: int, http_status: int, expected: str) -> None:
    """``error.type`` where there is one; the span status counts only where nothing else says anything."""
    assert normalize.error(error_type, span_status, http_status) == expected


HOSTILE = {
    "two digits a segment": lambda n: "/" + "a1b2c" * 1 + "x" * n,
    "digits apart": lambda n: "/1" + "a" * n + "2" + "b" * n,
    "slashes": lambda n: "/" * n,
    "short segments": lambda n: "/ab" * n,
    "digits and spaces": lambda n: "1 " * n,
    "spaces": lambda n: "1" + " " * n,
    "scheme without end": lambda n: "a" * n + ":",
    "question marks": lambda n: "/" + "?" * n,
    "control characters": lambda n: "\x00" * n,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_time_is_bounded_on_hostile_strings(kind: str) -> None:
    """A megabyte costs no more than 2,000 characters; those stay far below what a quadratic pattern would take."""
    value = HOSTILE[kind](1_000_000)
    began = time.thread_time()
    for clean in TEXTS:
        clean(value)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize("kind", HOSTILE)
def test_patterns_are_linear(kind: str) -> None:
    """The patterns themselves, past the bound: 64 times the length takes about 64 times as long, not 4,096 times."""

    def seconds(size: int) -> float:
        value = HOSTILE[kind](size)
        began = time.thread_time()  # other processes take none of it
        for pattern in (normalize.LONG_NUMBER, normalize.ID_SEGMENT, normalize.LONG_SEGMENT, normalize.URL_PREFIX):
            re.sub(pattern, "", value)
        return time.thread_time() - began

    small, large = (min(seconds(size) for _ in range(3)) for size in (2_000, 128_000))
    assert large < 64 * 12 * max(small, 1e-5)
