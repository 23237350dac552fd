"""Strings with codes."""

import numpy as np

from telemetry.domain.tiers import Tiers
from telemetry.engine import strings as words
from telemetry.engine.strings import Strings


def test_equal_strings_have_equal_codes() -> None:
    """And the empty one has the code 0."""
    strings = Strings(Tiers())
    one, nothing, two, again = strings.codes(["a", "", "b", "a"]).tolist()
    assert (nothing, again) == (0, one)
    assert one != two
    assert [strings.text(code) for code in (one, nothing, two)] == ["a", "", "b"]


def test_keep_forgets_the_rest() -> None:
    """And says what became of the codes; what is fixed stays where it is."""
    strings = Strings(Tiers())
    fixed = list(strings.texts)
    _, b, _, d = strings.codes(["a", "b", "c", "d"]).tolist()
    renamed = strings.keep(np.array([0, d, b], np.int32))
    assert list(strings.texts) == [*fixed, "b", "d"]
    assert [strings.text(code) for code in renamed[[0, b, d]].tolist()] == ["", "b", "d"]
    assert renamed[: strings.fixed].tolist() == list(range(strings.fixed))
    assert strings.code("b") == renamed[b]


def test_what_the_rules_ask_is_known_of_every_string() -> None:
    """However many there are."""
    strings = Strings(Tiers())
    strings.codes(f"filler-{n}" for n in range(10_000))
    flags, word, api = strings.codes(["UF,UT", "DeadlineExceeded", "api"]).tolist()
    assert strings.says[flags] == words.TIMEOUT_FLAG
    assert strings.says[word] == words.TIMEOUT_WORD
    assert (strings.rank[api], strings.rank[flags]) == (4, -1)
