"""Record batches as columns: the same messages as kafka-python reads, from whatever a broker may send."""

import struct
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from kafka.consumer.fetcher import Fetcher
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from telemetry.errors import MalformedError
from telemetry.feeds.base import RecordBatch, batches_of
from telemetry.feeds.kafka import fetched
from telemetry.feeds.kafka.compression import decompress
from telemetry.feeds.kafka.fetched import BadBatchError, FetchedPartition, install
from telemetry.feeds.kafka.record_sets import batches, keys_of

NOW = 1_800_000_000_000
PLACE = TopicPartition("t", 3)
CODECS = {0: bytes, 1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}
_HEADER = struct.Struct(">qiibIhiqqqhii")

Message = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
messages = st.tuples(
    st.integers(0, 2**41),
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=300) | st.integers(8000, 20_000).map(lambda size: b"x" * size),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2),
)
sets = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.lists(messages, min_size=1, max_size=20)), min_size=1, max_size=5
)


def build(first: int, codec: int, content: Sequence[Message], magic: int = 2) -> bytes:
    """One batch whose first offset is ``first``, by kafka-python."""
    builder = MemoryRecordsBuilder(magic, codec, 1 << 30, offset=0)
    for timestamp, key, value, headers in content:
        assert builder.append(timestamp, key, value, headers if magic == 2 else None)
    builder.close()
    raw = bytes(builder.buffer())
    return first.to_bytes(8) + raw[8:] if magic == 2 else raw


def small(first: int, *values: bytes, codec: int = 0) -> bytes:
    """A batch of these values."""
    return build(first, codec, [(NOW - 5 + n, None, value, []) for n, value in enumerate(values)])


def changed(raw: bytes, **fields: Any) -> bytes:
    """A batch with other header fields or records, and the checksum that fits them."""
    names = "base length epoch magic crc attributes last_delta base_ms max_ms producer producer_epoch sequence count"
    header = dict(zip(names.split(), _HEADER.unpack_from(raw), strict=True))
    records = fields.pop("records", raw[_HEADER.size :])
    header |= fields | {"length": _HEADER.size + len(records) - 12}
    packed: bytes = _HEADER.pack(*header.values()) + records
    return packed[:17] + struct.pack(">I", crc32c(packed[21:])) + packed[21:]


def partition(raw: bytes, offset: int = 0) -> FetchedPartition:
    """What a fetch from ``offset`` on brought."""
    return FetchedPartition(offset, PLACE, MemoryRecords(raw), now_ms=lambda: NOW)


def taken(part: FetchedPartition) -> list[RecordBatch]:
    """All that there is."""
    found = []
    while part:
        found += part.take(1)
    return found


def told(found: Sequence[RecordBatch]) -> list[tuple[int, int, int, bytes]]:
    """(partition, offset, arrival, value) of each record."""
    return [(r.partition, r.offset, r.arrival_ms, r.value) for batch in found for r in batch.records()]


def theirs(raw: bytes, offset: int) -> tuple[list[tuple[int, int, int, bytes]], int]:
    """The same by kafka-python's own code, and the offset that it would fetch next."""
    part = Fetcher.PartitionRecords(offset, PLACE, MemoryRecords(raw))
    records = []
    while part:
        records += part.take(7)
    said = [(r.partition, r.offset, r.timestamp if r.timestamp >= 0 else NOW, r.value or b"") for r in records]
    return said, part.next_fetch_offset


def test_whole_batches_below_the_offset_are_left_out() -> None:
    """A broker begins with the batch that holds it; whatever comes before it, in bytes of its own or not, is not read again."""
    raw = small(1000, b"a") + small(1001, b"b", codec=3) + small(1002, b"c", b"d") + small(1004, b"e", codec=4)
    assert [value for *_, value in told(taken(partition(raw, 1003)))] == [b"d", b"e"]


def test_a_large_message_counts_for_as_many_as_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll ends after so many groups: several messages that grew as they were decompressed must not all come in one."""
    monkeypatch.setattr(fetched, "GROUP_BYTES", 100)
    found = partition(small(1000, b"x" * 1_000, codec=4) + small(1001, b"y", codec=4), 1000).take()
    assert (len(found), [len(batch.values) for batch in found if len(batch)]) == (10, [1])


@settings(deadline=None)  # compiled code is loaded by the first example
@given(sets, st.integers(0, 30), st.integers(0, 200), st.sampled_from([1, 300, 1 << 22]))
def test_the_same_records_as_kafka_python_reads(
    content: list[tuple[int, int, list[Message]]], skip: int, cut: int, group: int
) -> None:
    """Any codec, keys, headers and empty values; gaps between batches; an offset within a batch; an end that is cut off."""
    raw, first = b"", 1000
    for codec, gap, listed in content:
        raw += build(first + gap, codec, listed)
        first += gap + len(listed)
    raw += small(first, b"the last one")[:cut]
    wanted = min(1000 + skip, first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetched, "GROUP_BYTES", group)
        looked: list[list[bytes | None]] = []
        part = FetchedPartition(
            wanted,
            PLACE,
            MemoryRecords(raw),
            now_ms=lambda: NOW,
            look=lambda at, payload: looked.append(keys_of(payload, 3)) if at == 3 else None,
        )
        found = taken(part)
    assert (told(found), part.next_fetch_offset) == theirs(raw, wanted)
    assert all(batch.size == sum(map(len, batch.values)) for batch in found)
    assert part.records_read == sum(map(len, found))
    written = [[key for _, key, *_ in listed[:3]] for _, _, listed in content]
    assert all(keys in [*written, [None]] for keys in looked)
    assert looked or not found


def test_offsets_that_compaction_left_and_marks_of_transactions() -> None:
    """A batch keeps its last offset when its last records go; an empty one and a mark move the position and give nothing."""
    three = small(10, b"a", b"b", b"c")
    gone = changed(three, records=_first_record(three), count=1)
    mark = changed(small(20, b"mark"), attributes=0x30)
    part = partition(gone + mark + small(21, b"d"))
    assert [(offset, value) for _, offset, _, value in told(taken(part))] == [(10, b"a"), (21, b"d")]
    empty = changed(three, records=b"", count=0)
    for alone, after in ((gone, 13), (mark, 21), (empty, 13)):
        part = partition(alone, 11 if alone is gone else 0)
        assert (taken(part), part.next_fetch_offset) == ([], after)


def _first_record(raw: bytes) -> bytes:
    start = _HEADER.size
    return raw[start : start + 1 + (raw[start] >> 1)]


def test_arrival_is_the_brokers_time_where_it_stamps() -> None:
    """LogAppendTime: one time for the batch; no timestamp at all: now."""
    raw = small(0, b"a", b"b")
    by_broker = changed(raw, attributes=0x08, max_ms=77)
    none = changed(small(2, b"c"), base_ms=-1, max_ms=-1)
    assert [arrival for _, _, arrival, _ in told(taken(partition(by_broker + none)))] == [77, 77, NOW]
    assert [arrival for _, _, arrival, _ in told(taken(partition(raw)))] == [NOW - 5, NOW - 4]


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1])
def test_message_formats_of_old_brokers(magic: int, codec: int) -> None:
    """Formats 0 and 1 are read by kafka-python's code, also between batches of format 2."""
    old = build(0, codec, [(NOW - 1, b"k", b"one", []), (NOW - 1, None, b"two", [])], magic)
    found = told(taken(partition(old + small(2, b"three"))))
    assert [(offset, value) for _, offset, _, value in found] == [(0, b"one"), (1, b"two"), (2, b"three")]
    assert {arrival for _, offset, arrival, _ in found if offset < 2} == {NOW - magic}
    broken = old[:-1] + bytes([old[-1] ^ 1])
    with pytest.raises(BadBatchError):
        taken(partition(broken))


class TestDamage:
    """What cannot be decoded is named, and what stands before it is given first."""

    def test_a_batch_with_a_wrong_checksum(self) -> None:
        """The position stays before it; the batch goes along whole, with the offset behind it."""
        good, bad = small(0, b"a", b"b"), bytearray(small(2, b"c", b"d"))
        bad[-1] ^= 1
        part = partition(good + bytes(bad) + small(4, b"e"))
        assert [value for *_, value in told(part.take(1))] == [b"a", b"b"]
        assert (bool(part), part.next_fetch_offset) == (True, 2)
        with pytest.raises(
            BadBatchError, match=r"the batch at offset 2 of partition 3: its checksum is wrong"
        ) as caught:
            part.take(1)
        assert (caught.value.record.value, caught.value.record.offset, caught.value.next_offset) == (bytes(bad), 2, 4)
        assert (caught.value.codec, caught.value.checksum) == ("", int.from_bytes(bad[17:21]))
        assert not part

    @pytest.mark.parametrize(
        ("magic", "codec", "name"),
        [
            (0, 0, ""),
            (0, 1, "gzip"),
            (1, 1, "gzip"),
            (2, 0, ""),
            (2, 1, "gzip"),
            (2, 2, "snappy"),
            (2, 3, "lz4"),
            (2, 4, "zstd"),
            (2, 6, "an unknown codec 6"),
            (3, 0, "an unknown format 3"),
        ],
    )
    def test_it_is_known_whether_its_messages_can_be_read_in_its_bytes(self, magic: int, codec: int, name: str) -> None:
        """In every format: who puts it aside must not keep what nobody can look through."""
        bad = bytearray(build(0, min(codec, 1), [(NOW, None, b"x" * 100, [])] * 3, min(magic, 2)))
        bad[16], stated = magic, bad[17:21] if magic == 2 else bad[12:16]
        if codec > 1:
            bad[22] = codec
        bad[-1] ^= 1
        with pytest.raises(BadBatchError) as caught:
            taken(partition(bytes(bad)))
        assert caught.value.codec == name
        assert magic > 2 or caught.value.checksum == int.from_bytes(stated)

    def test_records_that_do_not_fit_their_batch(self) -> None:
        """Found within a group of good batches, which are given up to there."""
        raw = small(2, b"c", b"d")
        for bad in (changed(raw, count=3), changed(raw, count=1), changed(raw, count=-1), changed(raw, last_delta=0)):
            part = partition(small(0, b"a", b"b") + bad + small(9, b"e"))
            assert [value for *_, value in told(part.take(1))] == [b"a", b"b"]
            assert part.next_fetch_offset == 2
            with pytest.raises(BadBatchError, match="the batch at offset 2"):
                part.take(1)

    @pytest.mark.parametrize("codec", [1, 2, 3, 4, 5, 7])
    def test_what_is_not_in_its_codec(self, codec: int) -> None:
        """Garbage, and a good one that ends too early."""
        for records in (b"\x00\x01garbage that is longer than any header", CODECS.get(codec, bytes)(b"x" * 5000)[:-9]):
            with pytest.raises(BadBatchError):
                partition(changed(small(0, b"a"), attributes=codec, records=records)).take(1)

    def test_no_batch_at_all(self) -> None:
        """A length that cannot be: nobody knows where the next batch begins."""
        for raw in (b"\0" * 8 + b"\xff" * 20, b"\0" * 8 + struct.pack(">i", 9) + b"\0\0\0\0\2" + b"\0" * 20):
            with pytest.raises(MalformedError):
                list(batches(raw))
            part = FetchedPartition(5, PLACE, _Raw(raw), now_ms=lambda: NOW)
            with pytest.raises(BadBatchError) as caught:
                part.take(1)
            assert (caught.value.record.offset, caught.value.next_offset) == (5, -1)

    @settings(deadline=None)
    @given(st.data())
    def test_any_byte_of_the_records_may_be_wrong(self, data: st.DataObject) -> None:
        """With a checksum that fits: records or an error, never anything else."""
        raw = build(0, 0, data.draw(st.lists(messages, min_size=1, max_size=5)))
        records = bytearray(raw[_HEADER.size :])
        for _ in range(data.draw(st.integers(1, 3))):
            records[data.draw(st.integers(0, len(records) - 1))] = data.draw(st.integers(0, 255))
        try:
            found = partition(changed(raw, records=bytes(records))).take(1)
        except BadBatchError:
            return
        assert sum(map(len, found)) <= _HEADER.unpack_from(raw)[12]


class _Raw:
    """Stands for MemoryRecords, which does not let itself be made from such bytes."""

    def __init__(self, raw: bytes) -> None:
        self._buffer = raw


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_batch_that_grows_without_end_is_stopped(codec: int) -> None:
    """What comes out is held to the limit, and not much more memory is ever used."""
    bomb = CODECS[codec](b"\0" * 60_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError, match="too large after decompression"):
            decompress(codec, bomb, 2_000_000)
        assert tracemalloc.get_traced_memory()[1] < 15_000_000 + 2 * len(bomb)
    finally:
        tracemalloc.stop()
    assert decompress(codec, CODECS[codec](b"\0" * 2_000_000), 2_000_000) == b"\0" * 2_000_000


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_several_streams_in_one_batch(codec: int) -> None:
    """Each of these formats may be joined end to end."""
    assert decompress(codec, CODECS[codec](b"one ") + CODECS[codec](b"two")) == b"one two"


def test_snappy_without_java_s_framing() -> None:
    """As Go clients write it."""
    assert decompress(2, snappy_encode(b"x" * 1000, xerial_compatible=False)) == b"x" * 1000


def test_what_grew_large_counts_for_as_much_as_it_is() -> None:
    """Of 40 MB in one small batch kafka-python is told nine parts, so that it takes no more of the kind at once."""
    values = [bytes([number]) * 1_000_000 for number in range(40)]
    part = partition(small(7, *values, codec=4))
    found = part.take()
    assert [batch.size for batch in found] == [4_000_000] * 8 + [8_000_000]
    assert [value for batch in found for value in batch.values] == values
    assert [offset for batch in found for offset in batch.offsets] == list(range(7, 47))
    assert (part.next_fetch_offset, part.records_read, part.take()) == (47, 40, [])
    (whole,) = partition(small(0, *values[:8])).take()
    assert whole.size == 8_000_000


def test_a_batch_is_cut_by_bytes_and_by_offset() -> None:
    """At least one record, else no more than asked for."""
    (batch,) = taken(partition(small(7, b"aaaa", b"bb", b"c", b"")))
    for room, count in ((0, 1), (4, 1), (5, 1), (6, 2), (7, 4), (100, 4)):
        head, rest = batch.cut(room)
        assert len(head) == count
        assert told([head, *([rest] if rest else [])]) == told([batch])
        assert head.size == sum(map(len, head.values))
    assert told([batch.since(9)]) == told([batch])[2:]
    assert batch.next_offset == 11
    assert told(batches_of(list(batch.records()))) == told([batch])
    assert batch.record(1) == list(batch.records())[1]


def test_a_kafka_python_that_works_otherwise_is_noticed() -> None:
    """Then the feed reads records: slower, and right."""

    class Other:
        """A consumer whose fetcher makes its records of something else."""

        class _fetcher:  # noqa: N801 - kafka-python's name
            PartitionRecords = MemoryRecordsBuilder

    assert not install(Other(), lambda: NOW, lambda *_: None)
    assert not install(object(), lambda: NOW, lambda *_: None)
