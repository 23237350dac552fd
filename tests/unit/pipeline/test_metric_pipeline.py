"""The loop of metrics, step by step, on a real embedded store, with a feed and failures of our own making."""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format

from telemetry.app.verify import verify
from telemetry.engine.metrics import MetricSettings
from telemetry.errors import UnavailableError
from telemetry.feeds.otlp.intake import Signal
from telemetry.pipeline.metrics import MetricPipeline
from telemetry.pipeline.settings import MetricPipelineSettings
from telemetry.store.embedded import EmbeddedStore
from tests.support.fake_feed import Topic
from tests.support.flaky_store import Crash
from tests.support.metric_messages import point, request
from tests.support.traces import Seeded
from tests.unit.pipeline.pipeline_rig import NOW, LoopRig

SETTINGS = MetricPipelineSettings(flush_seconds=1.0, poll_seconds=0, senders=0)
CARD = "4111111111111111"


class Rig(LoopRig[MetricPipeline, MetricPipelineSettings]):
    """A loop of metrics with its surroundings."""

    def __init__(self, store: EmbeddedStore) -> None:
        super().__init__(store, SETTINGS)

    def _made(self, settings: MetricPipelineSettings) -> MetricPipeline:
        return MetricPipeline(
            self.feed, self.store, settings, topic="m", wall_ms=self.wall_ms, monotonic=lambda: self.seconds
        )

    def send(self, *values: float, partition: int = 0) -> None:
        """A record with a gauge for each value."""
        self.put(gauges(*values), partition)

    def stored(self) -> Counter[float]:
        """How often each value is stored."""
        return Counter(value for (value,) in self.real_store.query("SELECT value FROM metric_points").rows)

    def adds_up(self) -> bool:
        """Whether ``edgepath verify`` says so."""
        now = int(time.time())
        found = verify(self.real_store, now - 3600, now + 60, now=now + 60, slos=())
        return not found.differing


@pytest.fixture
def rig(embedded_store: EmbeddedStore) -> Iterator[Rig]:
    """A started pipeline on an empty store."""
    rig = Rig(embedded_store)
    yield rig
    rig.stop()


def gauges(*values: float) -> bytes:
    """A message with a gauge for each value."""
    message, metrics = request()
    for value in values:
        point(metrics, "g", "gauge", as_double=value, time=NOW * 1_000_000)
    return bytes(message.SerializeToString())


def test_records_become_stored_points_and_are_committed(rig: Rig) -> None:
    """Many records a block; the place is past the last; the log and the table say the same."""
    for number in range(1, 30):
        rig.send(number, number + 0.5)
        rig.pass_time(number % 3)
    rig.pass_time(3)
    assert rig.stored() == Counter([n + half for n in range(1, 30) for half in (0, 0.5)])
    assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}
    status = rig.pipeline.status()
    assert (status.records, status.points, status.invalid_points, status.replayed_records) == (29, 58, 0, 0)
    assert 5 < status.landed_blocks < 29
    assert (status.waiting_batches, status.lag, status.trouble, status.partitions) == (0, 0, "", 1)
    assert rig.adds_up()


@pytest.mark.parametrize(("others_wait", "rests"), [(True, [3.0, 5.0]), (False, [])])
def test_who_has_more_to_do_is_given_way(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, others_wait: bool, rests: list[float]
) -> None:
    """Decoding keeps others from working: while they are behind, three times as long is left to them, within bounds."""
    slept: list[float] = []
    pipeline = MetricPipeline(
        rig.feed, rig.store, SETTINGS, topic="m", others_wait=lambda: others_wait, sleep=slept.append,
        monotonic=lambda: rig.seconds,
    )  # fmt: skip
    decode, takes = pipeline._decoder.decode, [1.0, 60.0]

    def slow(records: Any) -> Any:
        rig.seconds += takes.pop(0)
        return decode(records)

    monkeypatch.setattr(pipeline._decoder, "decode", slow)
    for value in (1, 2):
        rig.send(value)
        rig.seconds += 1
        pipeline.step()
    pipeline.close()
    assert slept == rests
    assert rig.stored() == Counter([1, 2])


def test_an_arrival_that_cannot_be_is_mended(rig: Rig) -> None:
    """Kafka's timestamps are senders' clocks: one of the next century must not be stored, for it would never expire."""
    rig.topic.put(gauges(1.0), at=NOW + 10**12)
    rig.pass_time(2)
    rig.topic.put(gauges(2.0), at=0)
    rig.pass_time(2)
    rows = rig.real_store.query("SELECT toUnixTimestamp64Milli(arrived) - {now:Int64} FROM metric_points", {"now": NOW})
    assert all(0 <= ahead < 10_000 for (ahead,) in rows.rows)


class TestStoreAway:
    """Nothing is committed that has not landed; nothing is lost; nothing grows with the outage."""

    def test_nothing_is_committed_before_it_landed(self, rig: Rig) -> None:
        """However long it takes; the same block each time."""
        rig.pass_time(1)
        rig.store.away = True
        rig.send(1)
        rig.pass_time(10)
        rig.send(2)
        rig.pass_time(30)
        assert (rig.topic.committed, rig.stored()) == ({}, Counter())
        assert rig.pipeline.status().trouble == "the store is away"
        assert (
            len({bytes(block.arrow) for block in rig.store.sent}) == len({block.token for block in rig.store.sent}) == 1
        )
        assert len(rig.store.sent) > 3
        rig.store.away = False
        rig.pass_time(20)
        assert (rig.topic.committed, rig.stored()) == ({0: 3}, Counter([1, 2]))
        assert rig.pipeline.status().trouble == ""

    def test_an_answer_that_was_lost_doubles_nothing(self, rig: Rig) -> None:
        """The block landed, but nobody said so."""
        rig.pass_time(1)
        rig.send(1)
        rig.store.answers_lost = True
        rig.pass_time(20)
        assert len(rig.store.sent) > 2
        rig.store.answers_lost = False
        rig.pass_time(20)
        assert (rig.stored(), rig.topic.committed) == (Counter([1]), {0: 1})

    def test_it_stops_taking_records_in(self, rig: Rig) -> None:
        """Two blocks wait, then as many bytes as may be held undecoded; the rest stays in the feed."""
        rig.start(settings=dataclasses.replace(SETTINGS, flush_bytes=1_000))
        rig.pass_time(1)
        rig.store.away = True
        for number in range(1, 200):
            rig.send(number)
            rig.pass_time(1)
        status = rig.pipeline.status()
        assert status.waiting_batches == SETTINGS.max_waiting_batches
        assert (status.paused, status.pauses > 0, status.lag > 150) == (True, True, True)
        assert rig.feed.asked[-5:] == [0] * 5
        rig.store.away = False
        rig.pass_time(250)
        assert rig.stored() == Counter(range(1, 200))
        assert not rig.pipeline.status().paused

    def test_large_blocks_stop_it_sooner(self, rig: Rig) -> None:
        """Blocks of many partitions are bounded together."""
        rig.start(0, 1, 2, settings=dataclasses.replace(SETTINGS, max_waiting_bytes=1_000))
        rig.pass_time(1)
        rig.store.away = True
        rig.send(1, partition=0)
        rig.pass_time(2)
        for partition in range(3):
            rig.send(10 + partition, partition=partition)
        rig.pass_time(5)
        assert (rig.pipeline.status().waiting_batches, rig.pipeline.status().lag) == (1, 3)
        rig.store.away = False
        rig.pass_time(30)
        assert rig.stored() == Counter([1, 10, 11, 12])

    def test_it_begins_when_the_store_comes(self, rig: Rig) -> None:
        """A partition is not read before it is known what is stored of it; the member stays in its group."""
        rig.store.away = True
        rig.send(1)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                rig.pipeline.step()
        assert rig.feed.asked == [0] * 3
        rig.store.away = False
        rig.pass_time(3)
        assert rig.stored() == Counter([1])

    def test_a_refused_commit_is_made_up_for(self, rig: Rig) -> None:
        """Also when nothing more comes."""
        rig.send(1)
        rig.pass_time(1)
        rig.feed.refuse_commits = True
        with pytest.raises(UnavailableError):
            rig.pass_time(5)
        rig.feed.refuse_commits = False
        rig.pass_time(2)
        assert (rig.topic.committed, rig.stored()) == ({0: 1}, Counter([1]))


class TestBadRecords:
    """Poison goes aside, the rest goes on."""

    def test_they_are_put_aside_and_the_rest_lands(self, rig: Rig) -> None:
        """With the reason, and without card numbers; too many points in one message, broken JSON, traces in JSON."""
        rig.start(settings=dataclasses.replace(SETTINGS, metrics=MetricSettings(max_points=5)))
        rig.send(1)
        bad = [b"\xff\xff", b"not otlp at all", b"\x0a\x7f", gauges(*range(6)), b'{"x', b'{"resourceSpans": [{}]}']
        for value in bad:
            rig.put(value)
        rig.put(b"\x0a\xff " + CARD.encode())
        rig.send(2)
        rig.pass_time(5)
        assert {record.value for record, _ in rig.topic.rejected[:-1]} | {rig.topic.rejected[-1][0].value} >= set(bad)
        assert not any(CARD.encode() in record.value for record, _ in rig.topic.rejected)
        assert len(rig.topic.rejected) == 7
        assert rig.stored() == Counter([1, 2])
        assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}
        assert rig.pipeline.status().rejected_records == 7

    def test_one_that_cannot_be_put_aside_is_not_passed_over(self, rig: Rig) -> None:
        """Its offset is not committed before it is kept."""
        rig.put(b"\xff\xff")
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

    def test_what_cannot_be_put_aside_fills_no_memory(self, rig: Rig) -> None:
        """However much poison there is."""
        rig.start(settings=dataclasses.replace(SETTINGS, flush_bytes=2_000))
        rig.feed.refuse_rejects = True
        for _ in range(500):
            rig.put(b'{"x')
        for _ in range(50):
            rig.seconds += 1
            with pytest.raises(UnavailableError):
                rig.pipeline.step()
        assert rig.pipeline.status().records < 1_000
        assert rig.feed.asked[-3:] == [0] * 3

    def test_a_record_that_breaks_the_decoder(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error that nobody thought of puts that record aside: it does not come again for ever."""
        decoder: Any = rig.pipeline._decoder
        number = decoder._number

        def breaks(one: Any, points: Any) -> bool:
            if one.as_double == 2:
                raise ZeroDivisionError(CARD)
            return bool(number(one, points))

        monkeypatch.setattr(decoder, "_number", breaks)
        for value in (1, 2, 3):
            rig.send(value)
        rig.pass_time(3)
        ((record, reason),) = rig.topic.rejected
        assert record.value == gauges(2)
        assert reason == "the decoder failed: ZeroDivisionError: [card]"
        assert rig.stored() == Counter([1, 3])
        assert rig.topic.committed == {0: 5}


def test_json_and_protobuf_are_the_same(rig: Rig) -> None:
    """The Collector's ``otlp_json`` beside ``otlp_proto``."""
    document = json_format.MessageToDict(Signal.METRICS.request.FromString(gauges(7)))
    rig.put(json.dumps(document).encode())
    rig.send(8)
    rig.pass_time(3)
    assert rig.stored() == Counter([7, 8])


def test_card_numbers_are_not_stored(rig: Rig) -> None:
    """Neither in a point's attributes nor in its resource."""
    message, metrics = request({"service.name": f"pay {CARD}"})
    point(metrics, "g", "gauge", as_double=1, time=NOW * 1_000_000, attributes={"url.path": f"/pay/{CARD}"})
    rig.put(message.SerializeToString())
    rig.pass_time(3)
    for table in ("metric_points", "metric_log"):
        found = rig.real_store.query(f"SELECT toString(attributes), component FROM {table} WHERE metric = 'g'").rows
        assert len(found) == 1
        assert CARD not in str(found)
        assert "[card]" in str(found)


class TestPartitions:
    """They come and go, and somebody else may have written meanwhile."""

    def test_a_lost_partition_is_forgotten(self, rig: Rig) -> None:
        """Its waiting blocks are its next owner's."""
        rig.start(0, 1)
        rig.pass_time(1)
        rig.store.away = True
        rig.send(1, partition=0)
        rig.send(2, partition=1)
        rig.pass_time(5)
        rig.feed.want(0)
        rig.pass_time(1)
        rig.store.away = False
        rig.pass_time(40)
        assert (rig.stored(), rig.topic.committed) == (Counter([1]), {0: 1})
        rig.feed.want(0, 1)
        rig.pass_time(5)
        assert rig.stored() == Counter([1, 2])

    def test_a_partition_that_somebody_else_writes(self, rig: Rig) -> None:
        """The block is fenced off; what the other one has stored is passed over, the rest is stored."""
        rig.pass_time(1)
        old = rig.pipeline
        rig.send(1)
        rig.start()
        rig.pass_time(2)
        assert (rig.stored(), rig.topic.committed) == (Counter([1]), {0: 1})
        rig.send(2)
        rig.seconds += 1
        rig.topic.committed = {}  # the old one knows of no commit
        for _ in range(8):
            rig.seconds += 1
            old.step()
        assert rig.stored() == Counter([1, 2])
        assert (old.status().fenced_partitions, old.status().replayed_records) == (1, 1)
        assert rig.adds_up()

    def test_a_topic_that_was_made_anew(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        """Its offsets begin anew: nothing of it is taken for stored, and it is said."""
        for number in range(5):
            rig.send(number)
        rig.pass_time(3)
        rig.topic = Topic()
        rig.send(10)
        rig.send(11)
        rig.start()
        rig.pass_time(3)
        assert rig.stored() == Counter([0, 1, 2, 3, 4, 10, 11])
        assert "it was made anew" in caplog.text


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("landing", [False, True])
def test_a_crash_at_every_step_loses_and_doubles_nothing(rig: Rig, at: int, *, landing: bool) -> None:
    """At each statement that changes something (fence, log, table, of two blocks and of the restart), before and after it."""
    rig.store.crash_in, rig.store.crash_after_landing = at, landing
    crashes = 0
    for number in range(1, 13):
        rig.send(number)
        try:
            rig.pass_time(1)
        except Crash:
            crashes += 1
            rig.start()
    rig.pass_time(3)
    assert crashes == 1
    assert rig.stored() == Counter(range(1, 13))
    assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}
    assert rig.adds_up()


def test_a_crash_between_storing_and_committing(rig: Rig) -> None:
    """The log says where to go on, whatever was committed; nothing is read twice into it."""
    rig.feed.refuse_commits = True
    rig.send(1)
    with pytest.raises(UnavailableError):
        rig.pass_time(5)
    assert (rig.stored(), rig.topic.committed) == (Counter([1]), {})
    rig.start()
    rig.send(2)
    rig.pass_time(3)
    assert rig.stored() == Counter([1, 2])
    assert (rig.pipeline.status().replayed_records, rig.topic.committed) == (1, {0: 3})


@pytest.mark.parametrize("seed", range(4))
def test_crashes_rebalances_and_poison_at_random(rig: Rig, seed: int) -> None:
    """Each value once, whatever happens."""
    chance = Seeded(seed)
    rig.start(0, 1)
    sent = 0
    for _ in range(30):
        for _ in range(chance.number(0, 3)):
            sent += 1
            rig.send(sent, partition=chance.number(0, 1))
        if not chance.number(0, 3):
            rig.put(b"\xff", chance.number(0, 1))
        if not chance.number(0, 3):
            rig.feed.want(*chance.pick(((0,), (1,), (0, 1))))
        if not chance.number(0, 2):
            rig.store.crash_in, rig.store.crash_after_landing = chance.number(1, 3), bool(chance.number(0, 1))
        try:
            rig.pass_time(chance.number(1, 3))
        except Crash:
            rig.start(0, 1)
        rig.store.crash_in = 0
    rig.feed.want(0, 1)
    rig.pass_time(10)
    assert rig.stored() == Counter(range(1, sent + 1))
    assert rig.topic.committed == {p: log[-1].offset + 1 for p, log in rig.topic.records.items()}
    assert rig.adds_up()


def test_the_orderly_end_stores_what_is_there(rig: Rig) -> None:
    """Also what came in since the last flush."""
    rig.pass_time(1)
    rig.send(1)
    rig.pipeline.step()
    assert rig.stored() == Counter()
    assert rig.pipeline.finish(5)
    assert (rig.stored(), rig.topic.committed) == (Counter([1]), {0: 1})
