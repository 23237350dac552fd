"""Spans packed beside their path come back as they were."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.span_data import MOST_SPANS, pack, unpack
from telemetry.engine.spans import domain_spans, span_array
from telemetry.engine.strings import Strings
from telemetry.errors import MalformedError
from tests.support.traces import Seeded, random_spans


def packed(traces: list[list[Span]], strings: Strings) -> list[bytes]:
    """Each trace's bytes."""
    spans = span_array([span for some in traces for span in some], strings)
    data, ends = pack(spans, np.cumsum([len(some) for some in traces], dtype=np.int64), strings)
    return [data[a:b].tobytes() for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def halves(traces: list[list[Span]]) -> "np.typing.NDArray[np.uint64]":
    """Both halves of each trace's id."""
    ids = [some[0].trace_id for some in traces]
    return np.array([[int.from_bytes(i[:8]), int.from_bytes(i[8:])] for i in ids], dtype=np.uint64)


@pytest.mark.parametrize("seed", range(6))
def test_every_field_comes_back(seed: int) -> None:
    """In another process, too: what is stored knows nothing of this one's codes. Offsets are not kept."""
    chance = Seeded(seed)
    traces = [random_spans(chance, (n + 1).to_bytes(16), chance.pick((3, 14, 30))) for n in range(60)]
    strings = Strings(Tiers())
    spans, ends = unpack(packed(traces, Strings(Tiers())), halves(traces), strings)
    assert ends.tolist() == np.cumsum([len(some) for some in traces]).tolist()
    found = domain_spans(spans, strings)
    sent = [span for some in traces for span in some]
    for name in Span.__slots__:
        if name != "offset":
            assert [getattr(s, name) for s in found] == [getattr(s, name) for s in sent], name
    assert [bool(bad) for bad in spans["bad"]] == [s.bad for s in sent]


def test_traces_whose_strings_take_more_than_their_spans() -> None:
    """Many strings of hundreds of characters, in some of the traces: the room for the bytes grows on the way."""
    strings = Strings(Tiers())
    traces = [
        [
            Span(
                (n + 1).to_bytes(16), i + 1, i, 2, 1000 + i, 5, route=f"/{n}/{i}/" + "é" * length, component=f"c{n}-{i}"
            )
            for i in range(4)
        ]
        for n, length in enumerate((1, 700, 3, 2, 900, 900, 900, 0, 5000, 1))
    ]
    read = Strings(Tiers())
    spans, _ = unpack(packed(traces, strings), halves(traces), read)
    sent = [span for some in traces for span in some]
    assert [(s.route, s.component, s.span_id) for s in domain_spans(spans, read)] == [
        (s.route, s.component, s.span_id) for s in sent
    ]


def test_what_was_stored_before_there_were_tenants_is_read() -> None:
    """Format 1, as an earlier version packed it; its paths are still restated."""
    stored = bytes.fromhex(
        "010b0361707006636c69656e74000470726f640b2f76312f6368617267657304504f5354076761746577617903667261026575025546082f"
        "76312f7b69647d02d00f0004030100000000000000005a00c801000000000000104000010202030202040205"
        "0a02020000000000000000144600f703070000000000000006060708030902020a02"
    )
    trace = b"\x01" * 16
    first: dict[str, Any] = {"component": "app", "tier": "client", "environment": "prod", "status": 200}
    second: dict[str, Any] = {"component": "gateway", "tier": "gateway", "pop": "fra", "region": "eu", "status": 503}
    spans = [
        Span(trace, 1, 0, 3, 1000, 90, **first, route="/v1/charges", method="POST", weight=4.0),
        Span(trace, 2, 1, 2, 1010, 70, **second, environment="prod", flags="UF", path="/v1/{id}", client_hash=7),
    ]
    new = [replace(span, tenant="acct_1") for span in spans]
    strings = Strings(Tiers())
    both, ends = unpack([stored, packed([new], Strings(Tiers()))[0]], halves([spans, new]), strings)
    assert domain_spans(both, strings) == [*spans, *new]
    assert ends.tolist() == [2, 4]


def test_it_is_small() -> None:
    """About 50 bytes a span, before ClickHouse compresses it."""
    chance = Seeded(1)
    traces = [random_spans(chance, (n + 1).to_bytes(16), 14) for n in range(100)]
    assert sum(map(len, packed(traces, Strings(Tiers())))) < 70 * sum(map(len, traces))


def test_a_very_large_trace_is_not_kept() -> None:
    """It is left out, and its neighbours are whole."""
    one = random_spans(Seeded(2), b"\x01" * 16, 10)
    many = [Span(trace_id=b"\x02" * 16, span_id=n + 1) for n in range(MOST_SPANS + 1)]
    first, large, last = packed([one, many, one], Strings(Tiers()))
    assert (large, first) == (b"", last)
    assert first


def test_damaged_bytes_are_told() -> None:
    """Cut short, changed, or of another format: an error or other spans, never a crash or a read beyond the end."""
    traces = [random_spans(Seeded(3), b"\x01" * 16, 20)]
    (good,) = packed(traces, Strings(Tiers()))
    chance = random.Random(4)
    told = 0
    for _ in range(2_000):
        bad = bytearray(good)
        for _ in range(chance.randint(0, 3)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        content = bytes(bad[: chance.randint(0, len(bad))])
        try:
            unpack([content], halves(traces), Strings(Tiers()))
        except MalformedError:
            told += 1
    assert told > 1_000
