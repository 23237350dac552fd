"""Whatever comes, what the engine holds and what it makes at once stays within bounds."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from numpy.typing import NDArray

from telemetry.engine import engine as engine_module
from telemetry.engine.strings import Codes, Strings
from telemetry.errors import UnavailableError
from tests.support.engine_rig import NOW, Kept, close, ids, new_engine, record, rows, take, trace


def test_full() -> None:
    """From so much memory on that open spans, their traces and their names take, until some traces close."""
    engine = new_engine(max_open_bytes=3_000)
    take(engine, record(0, trace(1)))
    seen = [engine.full]
    take(engine, record(1, trace(2), at=NOW + 2_000))
    seen.append(engine.full)
    assert ids(close(engine)) == [1]
    assert [*seen, engine.full] == [False, True, False]


def test_memory_goes_back_where_it_is_needed() -> None:
    """Arrays of a partition that had a flood shrink at once if others have one; left alone they stay for a while."""
    room = {}
    for most in (1_000_000, 1_000_000_000):
        engine = new_engine(max_open_bytes=most)
        engine.assign(1, writer="w2", next_offset=0, next_block=1)
        for number in range(1_200):
            take(engine, record(number, trace(number)))
        close(engine, everything=True)
        close(engine)
        room[most] = engine._partitions[0].open.room
    assert 6 * room[1_000_000] < room[1_000_000_000]


def test_a_block_is_bounded_in_bytes() -> None:
    """Long names that many traces share: as many paths as fit; the others come with the next blocks."""
    long = "\N{GRINNING FACE}" * 100
    several = [[dataclasses.replace(s, component=long, route="/" + "r" * 190) for s in trace(n)] for n in range(1, 61)]
    whole, cut = new_engine(), new_engine(block_bytes=8_000)
    for engine in (whole, cut):
        for number, spans in enumerate(several):
            take(engine, record(number, spans))
    expected = rows(close(whole, everything=True))
    found, sizes = [], []
    for number in range(1, 61):
        batch = close(cut, everything=True)
        some = rows(batch)
        assert {r["block"] for r in some} == {number}
        found += some
        sizes.append(sum(len(r["span_data"]) for r in some))
        assert batch.resume_offset == len(found)
        assert batch.large == (len(found) < 60)
        if not batch.large:
            break
    assert len(sizes) > 5
    assert max(sizes) < 8_000 + 2 * max(len(r["span_data"]) for r in expected)
    for r in found + expected:
        del r["block"]
    assert found == expected


def test_restating_is_bounded_in_bytes() -> None:
    """Many late spans: as many paths as fit. The rest is held, not committed, and comes next."""
    past = Kept()
    engine = new_engine(past, block_bytes=50_000)
    count = 1_100
    for number in range(count):
        take(engine, record(number, trace(number + 1, 7)))
    while engine.open_spans:
        past.keep(close(engine, everything=True))
    for number in range(count):
        take(engine, record(count + number, trace(number + 1)[7:]))
    paths = []
    offsets = {number + 1: count + number for number in range(count)}
    for _ in range(4):
        batch = close(engine, everything=True)
        past.keep(batch)
        paths.append(batch.paths)
        for number in ids(batch):
            del offsets[number]
        assert engine.open_spans == len(offsets)
        assert batch.large == bool(offsets)
        assert batch.resume_offset == min(offsets.values(), default=2 * count)
    assert paths == [500, 500, 100, 0]


def test_the_past_goes_away_between_two_parts() -> None:
    """What was restated before is stored; the rest is held, and comes once the past is back."""
    past = Kept()
    engine = new_engine(past)
    count = 700
    for number in range(count):
        take(engine, record(number, trace(number + 1, 7)))
    past.keep(close(engine, everything=True))
    for number in range(count):
        take(engine, record(count + number, trace(number + 1)[7:]))
    past.answers = 1
    first = close(engine, everything=True)
    past.keep(first)
    assert (first.paths, first.large, engine.open_spans, first.resume_offset < 2 * count) == (500, True, 200, True)
    with pytest.raises(UnavailableError):
        close(engine, everything=True)
    assert engine.open_spans == 200
    past.answers = None
    second = close(engine, everything=True)
    assert sorted(ids(first) + ids(second)) == list(range(1, count + 1))
    assert {r["version"] for r in rows(first) + rows(second) if r["kind"] == "path" and r["sign"] == 1} == {2}
    assert (second.resume_offset, engine.open_spans) == (2 * count, 0)


def test_full_of_strings() -> None:
    """Few spans with long names: nothing more is taken in until they close; and then their names are forgotten."""
    engine = new_engine(max_open_bytes=2_000_000)
    number = 0
    for turn in range(3):
        begun = number
        while not engine.full:
            number += 1
            names = [dataclasses.replace(s, route=f"/{number}/" + "ab/" * 60) for s in trace(number)]
            take(engine, record(number, names, at=NOW + turn * 60_000))
        assert number - begun > 300
        found = len(ids(close(engine, waited_ms=1_000)))
        seen = [engine.full]
        found += len(ids(close(engine, waited_ms=12_000)))
        assert (found, engine.open_spans) == (number - begun, 0)
        assert [*seen, engine.full] == [turn != 1, False]  # in the second, names of the first turn give way at once
        assert engine._strings.memory < 1_000_000


def test_strings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender with endless new names: what open spans use is kept, all else is forgotten, and paths stay right."""
    monkeypatch.setattr(engine_module, "_STRINGS_KEPT", 1_200)
    engine = new_engine()
    waiting = [dataclasses.replace(s, route="/waits") for s in trace(1, 7)]
    take(engine, record(0, waiting))
    for turn in range(1, 20):
        new = [dataclasses.replace(s, component=f"{s.tier}-{turn}", route=f"/r{turn}") for s in trace(1000 + turn)]
        names = [
            dataclasses.replace(s, component=f"c{turn}-{n}") for n in range(20) for s in trace(2000 + 20 * turn + n)
        ]
        take(engine, record(turn, new, names, at=NOW + turn))
        routes = {
            int.from_bytes(r["trace_id"]): r["route"] for r in rows(close(engine, idle_now_ms=NOW + 5_000 + turn))
        }
        assert routes[1000 + turn] == f"/r{turn}"
        assert len(engine._strings) < 1_300
    (row,) = rows(close(engine, everything=True))
    assert (row["route"], row["hops.component"]) == ("/waits", ["client", "edge", "balancer", "gateway"])


def test_strings_that_are_all_in_use_are_not_sorted_out_at_every_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second for some hundred thousand: only when there are twice as many as were in use the last time."""
    monkeypatch.setattr(engine_module, "_STRINGS_KEPT", 1_200)
    kept: list[int] = []
    keep = Strings.keep

    def counted(strings: Strings, used: NDArray[Any]) -> Codes:
        kept.append(len(used))
        return keep(strings, used)

    monkeypatch.setattr(Strings, "keep", counted)
    engine = new_engine()
    for turn in range(30):
        numbers = range(turn * 100 + 1, turn * 100 + 101)
        take(engine, record(turn, *([dataclasses.replace(trace(n)[0], component=f"c{n}")] for n in numbers)))
        close(engine)
    assert len(engine._strings) > 3_000
    assert len(kept) == 4
    assert all(after >= 2 * before - 5 for before, after in pairwise(kept))
    assert len(ids(close(engine, everything=True))) == 3_000
