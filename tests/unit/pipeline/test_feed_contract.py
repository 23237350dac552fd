"""What the pipeline relies on of every feed: the journal, and the fake that stands for Kafka in the unit tests."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from telemetry.feeds.base import Feed, Record, RecordBatch
from telemetry.feeds.journal import Journal
from tests.support.fake_feed import FakeFeed, Topic


class FeedContract(ABC):
    """The suite; ``self.put`` appends a record to the one partition, ``self.restart`` opens a new consumer."""

    @abstractmethod
    def put(self, value: bytes) -> None:
        """Append a record."""

    @abstractmethod
    def restart(self) -> Feed:
        """A new consumer; the one before is gone."""

    @pytest.fixture
    def feed(self) -> Feed:
        """The first consumer."""
        return self.restart()

    def everything(self, feed: Feed, max_bytes: int = 1000) -> list[Record]:
        """All that waits."""
        found: list[Record] = []
        while records := feed.poll(0, max_bytes):
            found += records
        return found

    def test_records_come_in_order(self, feed: Feed) -> None:
        """Offsets grow by at least one."""
        values = [b"%d" % n for n in range(20)]
        for value in values:
            self.put(value)
        records = self.everything(feed, 5)
        assert [r.value for r in records] == values
        offsets = [r.offset for r in records]
        assert offsets == sorted(set(offsets))
        assert {r.partition for r in records} == set(feed.assigned())

    def test_a_poll_is_bounded(self, feed: Feed) -> None:
        """No more bytes than asked for, but one record however large."""
        for size in (10, 10, 10, 500, 10):
            self.put(b"x" * size)
        polls = []
        while records := feed.poll(0, 20):
            polls.append([len(r.value) for r in records])
        assert [size for poll in polls for size in poll] == [10, 10, 10, 500, 10]
        assert all(sum(poll) <= 20 or len(poll) == 1 for poll in polls)

    def test_batches_are_the_same_records_as_columns(self, feed: Feed) -> None:
        """Bounded alike; no batch is empty; either way of polling goes on where the other stopped."""
        sizes = (10, 10, 10, 500, 10, 0, 3)
        for number, size in enumerate(sizes):
            self.put(b"%d" % number * size)
        first = feed.poll(0, 20)
        polls: list[Sequence[RecordBatch]] = []
        while batches := feed.poll_batches(0, 20):
            polls.append(batches)
        records = [record for batches in polls for batch in batches for record in batch.records()]
        assert [len(record.value) for record in [*first, *records]] == list(sizes)
        assert [record.value for record in records] == [value for b in polls for batch in b for value in batch.values]
        assert all(len(batch) for batches in polls for batch in batches)
        for batches in polls:
            size = sum(batch.size for batch in batches)
            assert size == sum(len(value) for batch in batches for value in batch.values)
            assert size <= 20 or sum(map(len, batches)) == 1
        assert [r.offset for r in records] == sorted({r.offset for r in records} - {r.offset for r in first})
        assert self.everything(self.restart()) == [*first, *records]
        assert not feed.poll_batches(0, 0)

    def test_nothing_is_given_where_nothing_is_asked_for(self, feed: Feed) -> None:
        """How a full pipeline waits: not one record more, and none is lost."""
        self.put(b"a")
        for _ in range(3):
            assert list(feed.poll(0, 0)) == []
        assert feed.lag() == 1
        assert [r.value for r in self.everything(feed)] == [b"a"]

    def test_lag_counts_what_waits(self, feed: Feed) -> None:
        """Down to none when all was given out, committed or not."""
        assert feed.lag() == 0
        for _ in range(3):
            self.put(b"x")
        assert feed.lag() == 3
        assert len(feed.poll(0, 2)) == 2
        assert feed.lag() == 1
        assert dict(feed.lags()) == dict.fromkeys(feed.assigned(), 1)
        assert feed.joined
        self.everything(feed)
        assert feed.lag() == 0
        assert not feed.poll(0, 1000)

    def test_a_restart_resumes_at_the_committed_offset(self, feed: Feed) -> None:
        """What was given out and not committed comes again, as it was."""
        for number in range(5):
            self.put(b"%d" % number)
        records = self.everything(feed)
        (partition,) = feed.assigned()
        feed.commit({partition: records[3].offset})
        assert dict(feed.assigned()) == {partition: records[3].offset}
        again = self.restart()
        assert dict(again.assigned()) == {partition: records[3].offset}
        assert self.everything(again) == records[3:]

    def test_a_commit_never_goes_back(self, feed: Feed) -> None:
        """An older offset changes nothing."""
        for _ in range(3):
            self.put(b"x")
        records = self.everything(feed)
        (partition,) = feed.assigned()
        feed.commit({partition: records[2].offset})
        feed.commit({partition: records[1].offset})
        assert dict(feed.assigned()) == {partition: records[2].offset}

    def test_everything_committed_gives_nothing_more(self, feed: Feed) -> None:
        """One past the last record."""
        self.put(b"x")
        (record,) = self.everything(feed)
        feed.commit({record.partition: record.offset + 1})
        assert self.everything(self.restart()) == []
        self.put(b"y")
        assert [r.value for r in self.everything(self.restart())] == [b"y"]

    def test_rejecting_goes_on(self, feed: Feed) -> None:
        """The rest still comes."""
        self.put(b"bad")
        self.put(b"good")
        records = self.everything(feed)
        feed.reject(records[0], "no good")
        feed.commit({records[1].partition: records[1].offset + 1})
        assert self.everything(self.restart()) == []


class TestFakeFeed(FeedContract):
    """In memory."""

    @pytest.fixture(autouse=True)
    def _topic(self) -> None:
        self.topic = Topic()

    def put(self, value: bytes) -> None:
        """Append a record."""
        self.topic.put(value)

    def restart(self) -> Feed:
        """A new consumer."""
        return FakeFeed(self.topic)

    def test_a_partition_goes_and_comes_within_polls(self) -> None:
        """A poll that changes the assignment gives no records."""
        feed = FakeFeed(self.topic, (0, 1))
        self.topic.put(b"a", partition=1)
        feed.want(0)
        assert set(feed.assigned()) == {0, 1}
        assert (list(feed.poll(0, 9)), set(feed.assigned())) == ([], {0})
        feed.want(0, 1)
        assert (list(feed.poll(0, 9)), set(feed.assigned())) == ([], {0, 1})
        assert [r.value for r in feed.poll(0, 9)] == [b"a"]


class TestJournal(FeedContract):
    """On disk."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> Iterator[None]:
        self.directory = tmp_path
        self.journal = Journal(tmp_path)
        self.journal.open()
        yield
        self.journal.close()

    def put(self, value: bytes) -> None:
        """Accept a request."""
        self.journal.accept(value)

    def restart(self) -> Feed:
        """Close and open."""
        self.journal.close()
        self.journal = Journal(self.directory)
        self.journal.open()
        feed: Feed = self.journal
        return feed
