"""Finding card numbers among digits: brands, check digits, groups, and what is no card number."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.redaction import brands, cards
from tests.redaction.corpus import CARDS, NUMBERS

DIGITS = st.text("0123456789", min_size=1, max_size=24)


def slow_luhn(digits: str) -> bool:
    """The check digit as ISO/IEC 7812-1 says it, word by word."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value // 10 + value % 10
    return total % 10 == 0


@given(DIGITS)
def test_the_check_digit_is_that_of_the_standard(digits: str) -> None:
    """Against a word-by-word reading of the standard."""
    assert cards.luhn(digits) == slow_luhn(digits)


@pytest.mark.parametrize("brand", CARDS)
def test_every_brands_test_numbers_are_card_numbers(brand: str) -> None:
    """And are found alone and within text."""
    for number in CARDS[brand]:
        assert cards.is_card(number), number
        assert cards.find(f"x {number}, y") == [(2, 2 + len(number))]


def test_the_corpus_has_a_hundred_numbers_or_more() -> None:
    """As asked for."""
    assert len(set(NUMBERS)) >= 100


@given(st.sampled_from(NUMBERS), st.integers(0, 18), st.integers(1, 9))
def test_one_wrong_digit_makes_it_no_card_number(number: str, place: int, more: int) -> None:
    """Luhn's check finds every single wrong digit."""
    place %= len(number)
    wrong = number[:place] + str((int(number[place]) + more) % 10) + number[place + 1 :]
    assert not cards.is_card(wrong)


@given(
    st.sampled_from(NUMBERS),
    st.lists(st.integers(1, 18), max_size=6),
    st.sampled_from([" ", "-", ".", "/", " - ", "\n"]),
)
def test_any_grouping_is_seen_through(number: str, cuts: list[int], separator: str) -> None:
    """Wherever the groups end."""
    edges = sorted({0, len(number), *(cut for cut in cuts if cut < len(number))})
    text = separator.join(number[a:b] for a, b in pairwise(edges))
    assert cards.find(f"a{text}b") == [(1, 1 + len(text))]


@given(st.text("0123456789 -", max_size=60))
def test_the_same_as_trying_every_window(text: str) -> None:
    """The prefix sums and the early ends change nothing: held against every run of whole groups, one by one."""
    found = cards.find(text)
    groups = [(m.start(), m.end()) for m in cards._GROUP.finditer(text)]
    covered = [False] * len(text)
    for first in range(len(groups)):
        for last in range(first, len(groups)):
            begin, end = groups[first][0], groups[last][1]
            if any(groups[n + 1][0] - groups[n][1] > 4 for n in range(first, last)):
                continue
            digits = "".join(text[a:b] for a, b in groups[first : last + 1])
            zeros = min(len(digits) - len(digits.lstrip("0")), groups[first][1] - begin)
            if zeros < groups[first][1] - begin and cards.is_card(digits[zeros:]):
                covered[begin + zeros : end] = [True] * (end - begin - zeros)
    got = [False] * len(text)
    for begin, end in found:
        got[begin:end] = [True] * (end - begin)
    assert got == covered


@pytest.mark.parametrize(
    "text",
    [
        "0af7651916cd43dd8448eb211c80319c",
        "00-9e52b3b0149266980a642a5883771732-53767952ba98fb4a-01",
        "6a1f0c9e-4111-4111-8111-111111111111",
        "198.232.208.1:40401",
        "-49.806541,-66.920231",
        "payments/17.93.154+86813360",
        "1780000000123456789",
        "411111111111111",
        "41111111111111112222",
        "2026-10-01 17:43:51.123456",
    ],
)
def test_what_is_no_card_number(text: str) -> None:
    """Ids, addresses, coordinates, versions, times; too short; the inside of a longer number."""
    assert cards.find(text) == []


def test_neighbours_do_not_hide_it() -> None:
    """A date before it and an expiry after it belong to the same run of digits and separators."""
    assert cards.find("2026-10-01 4111 1111 1111 1111 12/27") == [(11, 30)]


def test_ranges_are_well_formed() -> None:
    """Of equal length, in order, four digits at most, lengths that are looked for."""
    for name, first, last, lengths in brands.RANGES:
        assert len(first) == len(last) <= 4, name
        assert first <= last, name
        assert all(brands.SHORTEST <= length <= brands.LONGEST for length in lengths), name
