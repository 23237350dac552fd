"""The loop, step by step, on a real engine and a real embedded store, with a feed and failures of our own making."""

import dataclasses
import threading
from collections import Counter
from typing import Any

import pytest

from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.settings import EngineSettings
from telemetry.errors import UnavailableError
from telemetry.feeds.otlp.redaction import scrub
from tests.support import reference_decoder
from tests.support.fake_feed import Topic
from tests.support.flaky_store import Crash
from tests.support.stored_paths import assert_stored_as_sent
from tests.support.traces import Seeded
from tests.support.waiting import wait_until
from tests.unit.pipeline.pipeline_rig import NOW, SETTINGS, Rig, trace


def test_records_become_stored_paths_and_are_committed(rig: Rig) -> None:
    """One record after the other, traces over several records; the place is past the last."""
    for number in range(1, 30):
        rig.send(trace(number, 3), trace(number + 100))
        rig.send(trace(number)[3:])
        rig.pass_time(1)
    rig.pass_time(4)
    assert rig.stored() == Counter([*range(1, 30), *range(101, 130)])
    assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}
    status = rig.pipeline.status()
    assert (status.records, status.spans, status.paths, status.complete_paths) == (58, 29 * 16, 58, 58)
    assert (status.open_spans, status.waiting_batches, status.lag, status.trouble) == (0, 0, 0, "")


def test_an_open_trace_holds_the_commit_back(rig: Rig) -> None:
    """What a restart would need is not given up."""
    rig.send(trace(1, 4))
    rig.pass_time(5)
    rig.send(trace(2))
    rig.pass_time(3)
    assert (rig.stored(), rig.topic.committed) == (Counter([2]), {})
    rig.pass_time(10)
    assert (rig.stored(), rig.topic.committed) == (Counter([1, 2]), {0: 3})


class TestStoreAway:
    """Nothing is committed that has not landed; nothing is lost; nothing is asked of the feed that cannot be held."""

    def test_nothing_is_committed_before_it_landed(self, rig: Rig) -> None:
        """However long it takes; then all in order."""
        rig.send(trace(1))
        rig.pass_time(1)
        rig.store.away = True
        rig.send(trace(2))
        rig.pass_time(30)
        assert (rig.topic.committed, rig.stored()) == ({}, Counter())
        assert rig.pipeline.status().trouble == "blocks cannot be stored: the store is away"
        rig.store.away = False
        rig.pass_time(20)
        assert (rig.topic.committed, rig.stored()) == ({0: 3}, Counter([1, 2]))
        assert rig.pipeline.status().trouble == ""

    def test_a_retried_block_is_the_same_block(self, rig: Rig) -> None:
        """Token and bytes, every time; the tries grow rarer."""
        rig.send(trace(1))
        rig.pass_time(1)
        rig.store.away = True
        rig.pass_time(100)
        rig.store.away = False
        rig.pass_time(15)
        assert len({block.token for block in rig.store.sent}) == 1
        assert len({bytes(block.arrow) for block in rig.store.sent}) == 1
        assert 5 < len(rig.store.sent) < 20
        assert rig.stored() == Counter([1])

    def test_an_answer_that_was_lost_doubles_nothing(self, rig: Rig) -> None:
        """The block landed, but nobody said so."""
        rig.send(trace(1), trace(2, 7))
        rig.pass_time(1)
        rig.store.answers_lost = True
        rig.pass_time(20)
        rig.send(trace(2)[7:])
        rig.pass_time(5)
        assert len(rig.store.sent) > 2
        rig.store.answers_lost = False
        rig.pass_time(30)
        assert (rig.stored(), rig.late()) == (Counter([1, 2]), Counter([(2, 8)]))
        assert rig.real_store.query("SELECT sum(requests) FROM path_1m").scalar() == 2
        assert rig.topic.committed == {0: 3}

    def test_it_stops_taking_records_in(self, rig: Rig) -> None:
        """As many batches wait as may, then the engine fills up; the rest stays in the feed. Nothing grows with the outage."""
        rig.start(settings=dataclasses.replace(SETTINGS, engine=EngineSettings(max_open_bytes=7_000)))
        rig.pass_time(1)
        rig.store.away = True
        for number in range(1, 20):
            rig.send(trace(number))
            rig.pass_time(3)
        waiting = rig.pipeline.status().waiting_batches
        assert SETTINGS.max_waiting_batches <= waiting <= SETTINGS.max_waiting_batches + 2
        assert 40 <= rig.pipeline.status().open_spans < 60
        assert (rig.pipeline.status().lag > 8, rig.pipeline.status().paused) == (True, True)
        assert rig.feed.asked[-5:] == [0] * 5
        rig.pass_time(30)
        assert rig.pipeline.status().waiting_batches == waiting
        rig.store.away = False
        rig.pass_time(60)
        assert rig.stored() == Counter(range(1, 20))
        assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}

    def test_what_waits_is_bounded_for_all_partitions_together(self, rig: Rig) -> None:
        """However many they are: over it nothing is taken in or closed, until blocks land."""
        partitions = range(8)
        rig.start(*partitions, settings=dataclasses.replace(SETTINGS, max_waiting_bytes=20_000))
        rig.pass_time(1)
        rig.store.away = True
        number = 0
        for _ in range(6):
            for partition in partitions:
                number += 1
                rig.send(trace(number), partition=partition)
            rig.pass_time(4)
        outbox = rig.pipeline._outbox
        assert 20_000 <= outbox.waiting_bytes < 20_000 + 2 * outbox.waiting_bytes // len(outbox)
        status = rig.pipeline.status()
        assert (status.paused, status.pauses, status.lag > 8) == (True, 1, True)
        assert rig.feed.asked[-5:] == [0] * 5
        rig.store.away = False
        rig.pass_time(60)
        assert rig.stored() == Counter(range(1, number + 1))
        assert (rig.pipeline.status().paused, len(outbox)) == (False, 0)

    def test_an_idle_outage_gathers_no_batches(self, rig: Rig) -> None:
        """Empty messages move the place, but one batch that says so is enough."""
        rig.pass_time(1)
        rig.store.away = True
        rig.send(trace(1))
        rig.pass_time(4)
        rig.topic.put(b"", at=NOW)
        rig.pass_time(100)
        assert rig.pipeline.status().waiting_batches <= 2

    def test_it_begins_when_the_store_comes(self, rig: Rig) -> None:
        """A partition is not read before what was stored of it is known."""
        rig.store.away = True
        rig.send(trace(1))
        for _ in range(3):
            with pytest.raises(UnavailableError):
                rig.pipeline.step()
        assert set(rig.feed.asked) == {0}
        rig.store.away = False
        rig.pass_time(5)
        assert rig.stored() == Counter([1])

    def test_a_refused_commit_is_made_up_for(self, rig: Rig) -> None:
        """Also when nothing more comes."""
        rig.send(trace(1))
        rig.pass_time(1)
        rig.feed.refuse_commits = True
        with pytest.raises(UnavailableError):
            rig.pass_time(5)
        rig.feed.refuse_commits = False
        assert rig.topic.committed == {}
        rig.pass_time(2)
        assert (rig.topic.committed, rig.stored()) == ({0: 1}, Counter([1]))


class TestBadRecords:
    """Poison goes aside, the rest goes on."""

    def test_they_are_rejected_and_the_rest_lands(self, rig: Rig) -> None:
        """With the reason."""
        rig.send(trace(1))
        bad = [rig.topic.put(value, at=NOW) for value in (b"\xff\xff", b"not otlp at all", b"\x0a\x7f")]
        rig.send(trace(2))
        rig.pass_time(5)
        assert [record for record, _ in rig.topic.rejected] == bad
        assert all("not an OTLP TracesData message" in reason for _, reason in rig.topic.rejected)
        assert rig.stored() == Counter([1, 2])
        assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}
        assert rig.pipeline.status().rejected_records == 3

    @pytest.mark.parametrize(
        "poison",
        [
            rb'{"\ud800": 1}',
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": 1e400}]}]}]}',
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"status": {"code": Infinity}}]}]}]}',
        ],
    )
    def test_json_that_breaks_its_reader(self, rig: Rig, poison: bytes) -> None:
        """However it does: it is counted and put aside, and the rest lands."""
        rig.send(trace(1))
        bad = rig.topic.put(poison, at=NOW)
        rig.send(trace(2))
        rig.pass_time(5)
        assert [(record.offset, record.value) for record, _ in rig.topic.rejected] == [(bad.offset, scrub(poison))]
        assert (rig.stored(), rig.pipeline.status().rejected_records) == (Counter([1, 2]), 1)
        assert rig.topic.committed == {0: 5}

    def test_one_that_breaks_the_engine(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error that nobody thought of puts that record aside: it does not come again for ever."""
        decoder: Any = rig.pipeline._engine._decoder
        decode = decoder.decode

        def breaks(data: Any, begins: Any, ends: Any, *more: Any) -> Any:
            if any(b"4111" in data[begin:end].tobytes() for begin, end in zip(begins, ends, strict=True)):
                raise ZeroDivisionError("4111111111111111")
            return decode(data, begins, ends, *more)

        monkeypatch.setattr(decoder, "decode", breaks)
        rig.send(trace(1))
        bad = rig.topic.put(b"\x0a\x7f 4111111111111111", at=NOW)
        rig.send(trace(2), trace(3, 4))
        rig.pass_time(15)
        ((record, reason),) = rig.topic.rejected
        assert (record.offset, reason) == (bad.offset, "the engine failed: ZeroDivisionError: [card]")
        assert (rig.stored(), rig.pipeline.status().rejected_records) == (Counter([1, 2, 3]), 1)
        assert rig.pipeline.status().duplicate_spans == 0
        assert rig.topic.committed == {0: 5}

    def test_an_engine_that_takes_nothing_puts_nothing_aside(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then it is not the record's fault."""
        monkeypatch.setattr(rig.pipeline._engine, "ingest", lambda _: 1 // 0)
        rig.send(trace(1))
        with pytest.raises(ZeroDivisionError):
            rig.pass_time(2)
        assert rig.topic.rejected == []

    def test_one_that_cannot_be_put_aside_is_not_passed_over(self, rig: Rig) -> None:
        """Its offset is not committed before it is kept."""
        rig.topic.put(b"\xff\xff", at=NOW)
        rig.feed.refuse_rejects = True
        for _ in range(5):
            rig.seconds += 1
            with pytest.raises(UnavailableError):
                rig.pipeline.step()
        assert (rig.topic.committed, rig.topic.rejected) == ({}, [])
        rig.feed.refuse_rejects = False
        rig.pass_time(3)
        assert len(rig.topic.rejected) == 1
        assert rig.topic.committed == {0: 1}


def test_a_full_engine_stops_polling(rig: Rig) -> None:
    """Open spans are bounded by what one poll brings; nothing is dropped, and what fills it closes in its time.

    Arrival time stands still while nothing is taken in; if nothing else passed, the engine would stay full for ever.
    """
    engine = EngineSettings(max_open_bytes=3_200, grace_ms=4_000)
    rig.start(settings=dataclasses.replace(SETTINGS, engine=engine, flush_bytes=4_000))
    for number in range(1, 13):
        rig.send(trace(number, 7))
    most = 0
    for _ in range(40):
        rig.pass_time(1)
        most = max(most, rig.pipeline.status().open_spans)
    assert 14 <= most < 40
    assert 0 in rig.feed.asked
    assert rig.stored() == Counter(range(1, 13))


class TestSeveralPartitions:
    """They come and go; each has its own time."""

    def test_a_lost_partition_is_forgotten(self, rig: Rig) -> None:
        """Its open traces and its waiting batches are its next owner's."""
        rig.start(0, 1)
        rig.pass_time(1)
        rig.store.away = True
        rig.send(trace(1), partition=0)
        rig.send(trace(2), partition=1)
        rig.send(trace(3, 4), partition=1)
        rig.pass_time(5)
        rig.feed.want(0)
        rig.pass_time(1)
        rig.store.away = False
        rig.pass_time(40)
        assert rig.stored() == Counter([1])
        assert rig.topic.committed == {0: 1}
        assert rig.pipeline.status().open_spans == 0

    def test_it_is_read_again_when_it_comes_back(self, rig: Rig) -> None:
        """From its committed offset; what was stored meanwhile is not stored again."""
        rig.start(0, 1)
        rig.send(trace(1), trace(2, 4), partition=1)
        rig.pass_time(4)
        assert rig.stored() == Counter([1])
        rig.feed.want(0)
        rig.pass_time(2)
        rig.feed.want(0, 1)
        rig.pass_time(1)
        rig.send(trace(2)[4:], partition=1)
        rig.pass_time(5)
        assert rig.stored() == Counter([1, 2])
        assert rig.real_store.query("SELECT max(spans) FROM request_paths FINAL WHERE sign = 1").scalar() == 8
        assert rig.pipeline.status().late_spans == 0

    def test_an_idle_partition_closes_beside_a_busy_one(self, rig: Rig) -> None:
        """Its traces need not wait for its next record."""
        rig.start(0, 1)
        rig.send(trace(1), partition=1)
        for number in range(10, 20):
            rig.send(trace(number), partition=0)
            rig.pass_time(1)
        assert rig.stored()[1] == 1

    def test_an_idle_partition_closes_beside_one_whose_records_wait(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long they do."""
        rig.start(0, 1)
        real = rig.feed.lags
        monkeypatch.setattr(rig.feed, "lags", lambda: {**real(), 0: 1})
        rig.send(trace(1, 4), partition=0)
        rig.send(trace(2), partition=1)
        rig.pass_time(30)
        assert rig.stored() == Counter([2])

    def test_a_partition_with_records_waiting_is_not_idle(self, rig: Rig) -> None:
        """What waits in the feed may belong to the open trace: the wall clock must not close it."""
        rig.start(0, settings=dataclasses.replace(SETTINGS, flush_bytes=1))
        rig.send(trace(1, 4))
        for number in range(10, 60):
            rig.send(trace(number))
        rig.send(trace(1)[4:])
        rig.seconds = 500.0
        for _ in range(60):
            rig.pipeline.step()
        rig.pass_time(15)
        assert rig.stored() == Counter([1, *range(10, 60)])
        assert rig.late() == Counter()
        assert rig.real_store.query("SELECT min(spans) FROM request_paths FINAL WHERE sign = 1").scalar() == 8


@pytest.mark.parametrize("seed", range(6))
def test_crashes_lose_and_double_nothing(rig: Rig, seed: int) -> None:
    """The process ends at random appends, before or after they land; each trace is one path, each late span is kept once.

    A restart knows only what is stored and committed.
    """
    chance = Seeded(seed)
    sent: set[int] = set()
    crashes = 0
    for turn in range(1, 25):
        numbers = [turn * 10 + n for n in range(chance.number(0, 3))]
        rig.send(*(trace(n, chance.pick((8, 8, 5))) for n in numbers))
        if sent and chance.number(0, 1):
            lately = chance.pick(sorted(sent)[-4:])
            rig.send([dataclasses.replace(trace(lately)[0], span_id=1_000 + turn, parent_id=1)])
        sent |= set(numbers)
        if not chance.number(0, 3):
            rig.store.crash_in, rig.store.crash_after_landing = 1, bool(chance.number(0, 1))
        try:
            rig.pass_time(chance.number(1, 4))
        except Crash:
            crashes += 1
            rig.store.crash_in = 0
            rig.start()
    rig.store.crash_in = 0
    rig.pass_time(20)
    assert crashes >= 2
    assert rig.stored() == Counter(sent)
    assert set(rig.late().values()) <= {1}
    assert_stored_as_sent(rig.real_store, all_spans(rig.topic), starts=False)
    restated = rig.real_store.query("SELECT count() FROM request_paths FINAL WHERE sign = 1 AND version > 1").scalar()
    assert restated == len({trace for trace, _ in rig.late()})
    assert rig.real_store.query("SELECT sum(late_spans) FROM corrections").scalar() == len(rig.late())
    assert rig.real_store.query("SELECT sum(requests) FROM path_1m").scalar() == len(sent)
    assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}


def all_spans(topic: Topic) -> list[Span]:
    """Everything in a topic."""
    records = [record for log in topic.records.values() for record in log]
    return reference_decoder.decode(records, Tiers()).spans


def test_run_goes_on_until_it_is_stopped(rig: Rig) -> None:
    """In its thread; what cannot be reached is tried again, and told."""
    stop = threading.Event()
    rig.store.away = True
    thread = threading.Thread(target=rig.pipeline.run, args=(stop,))
    thread.start()
    wait_until(lambda: rig.pipeline.status().trouble == "partition 0 cannot be begun: the store is away")
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_drain(rig: Rig) -> None:
    """True when all is stored; False when time runs out first."""

    def ticking() -> float:
        rig.seconds += 0.5
        return rig.seconds

    rig.pipeline._monotonic = ticking
    for number in range(1, 5):
        rig.send(trace(number, 4 + number))
    assert rig.pipeline.drain(60)
    assert rig.stored() == Counter(range(1, 5))
    rig.send(trace(9))
    rig.store.away = True
    assert not rig.pipeline.drain(20)
