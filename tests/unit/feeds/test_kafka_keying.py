"""How a topic is keyed, judged from a sample: every way in which producers get it wrong, and the right one."""

import random
from collections.abc import Callable

import pytest
from kafka.partitioner.default import murmur2

from telemetry.feeds.kafka.keying import (
    HASHERS,
    MURMUR2,
    SAMPLES,
    UNKNOWN,
    Keying,
    KeySample,
    Report,
    Verdict,
    fnv1a,
    is_trace_key,
)

_, SARAMA, LIBRDKAFKA = HASHERS
TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
Place = Callable[[bytes, int], int]


def samples(
    count: int, partitions: int, place: str | Place | None, *, key: bool = True, seed: int = 0
) -> list[KeySample]:
    """Messages as a producer writes them: keyed by trace id and put where ``place`` says; None: anywhere."""
    rnd = random.Random(seed)
    found = []
    for _ in range(count):
        trace = rnd.randbytes(16).hex().encode()
        where = rnd.randrange(partitions) if place is None else _place(place)(trace, partitions)
        found.append(KeySample(where, trace if key else None, partitions))
    return found


def _place(place: str | Place) -> Place:
    return HASHERS[place] if isinstance(place, str) else place


def judged(seen: list[KeySample], splits: int = 0) -> Report:
    """What is said of them, in random order."""
    random.Random(1).shuffle(seen)
    keying = Keying()
    keying.saw_keys(seen)
    keying.saw_split(splits, TRACE)
    return keying.report()


def test_the_hashers_are_what_they_say() -> None:
    """FNV's own test vectors (draft-eastlake-fnv, appendix C); Kafka's for murmur2; what Go's remainder does with a sign."""
    assert [fnv1a(text) for text in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]
    assert murmur2(b"abc") == 479470107
    assert HASHERS[MURMUR2](b"abc", 7) == 479470107 % 7
    # 0xe40c292c is negative as an int32: -468965076, whose remainder by 7 in Go is -3 (-468965076 = 7 * -66995010 - 6)
    assert HASHERS[SARAMA](b"a", 7) == 468965076 % 7 == 6
    assert HASHERS[SARAMA](b"", 7) == (2**32 - 0x811C9DC5) % 7
    assert HASHERS[LIBRDKAFKA](b"123456789", 1000) == 0xCBF43926 % 1000  # the check value of CRC-32/ISO-HDLC


def test_trace_ids_are_told_from_other_keys() -> None:
    """Hex in lower case, as both producers write it."""
    assert is_trace_key(TRACE.hex().encode())
    assert not any(map(is_trace_key, (b"", TRACE, TRACE.hex().upper().encode(), b"checkout", TRACE.hex()[1:].encode())))


@pytest.mark.parametrize("partitions", [1, 2, 3, 8, 64])
def test_murmur2_by_trace_id_is_fine(partitions: int) -> None:
    """Also with the receiver's messages, which hold many traces and no key, between them; and with a few split traces."""
    seen = samples(200, partitions, MURMUR2) + samples(50, partitions, None, key=False)
    for splits in (0, 4):
        assert judged(list(seen), splits).verdict is Verdict.FINE
    assert judged([], 0) == Report(Verdict.FINE)


@pytest.mark.parametrize("partitions", [2, 3, 8, 64])
@pytest.mark.parametrize("name", [SARAMA, LIBRDKAFKA])
def test_another_hasher_is_named(partitions: int, name: str) -> None:
    """As long as all use it, traces are whole: it says so, and what happens when that ends."""
    report = judged(samples(60, partitions, name))
    assert report.verdict is Verdict.FOREIGN_HASHER
    assert f"hashed with {name}," in report.text
    assert "as soon as both write, traces are split" in report.text
    assert "record_partitioner.sticky_key.hasher: murmur2" in report.text
    assert (report.sampled, report.keyed, report.hashers[0]) == (60, 60, (name, 60))
    assert "60 traces were seen" in judged(samples(60, partitions, name), 60).text


def test_a_hasher_that_is_not_known() -> None:
    """Keyed, and where nothing explains."""
    report = judged(samples(100, 8, lambda key, n: sum(key) % n), 9)
    assert report.verdict is Verdict.FOREIGN_HASHER
    assert UNKNOWN in report.text


def test_few_keys_say_nothing() -> None:
    """Up to 19 could be chance; more samples than are kept change nothing."""
    assert judged(samples(19, 8, SARAMA)).verdict is Verdict.FINE
    assert judged(samples(20, 8, SARAMA)).verdict is Verdict.FOREIGN_HASHER
    many = judged(samples(10 * SAMPLES, 8, SARAMA))
    assert (many.sampled, many.verdict) == (SAMPLES, Verdict.FOREIGN_HASHER)


@pytest.mark.parametrize("other", [None, b"checkout"])
def test_messages_without_a_trace_id_for_a_key(other: bytes | None) -> None:
    """No key, or the name of a service: told once traces are split, with the Collector's setting."""
    seen = [KeySample(n % 8, other, 8) for n in range(100)]
    assert judged(list(seen), 4).verdict is Verdict.FINE
    report = judged(seen, 5)
    assert report.verdict is Verdict.UNKEYED
    assert "5 traces were seen in more than one partition, one is 4bf92f3577b34da6a3ce929d0e0e4736" in report.text
    assert "partition_traces_by_id: true" in report.text


@pytest.mark.parametrize("partitions", [2, 3, 8, 64])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_two_producers_with_different_hashers(partitions: int, share: float) -> None:
    """The receiver (murmur2) and a Collector as it comes (FNV-1a)."""
    count = round(share * SAMPLES)
    seen = samples(count, partitions, SARAMA) + samples(SAMPLES - count, partitions, MURMUR2, seed=1)
    report = judged(seen, 50)
    assert report.verdict is Verdict.MIXED
    assert f"hashed with {MURMUR2}, others keyed by trace id and hashed with {SARAMA}:" in report.text
    assert "partition_traces_by_id" not in report.text


def test_keyed_and_unkeyed() -> None:
    """One Collector with partition_traces_by_id, one without."""
    for name in (MURMUR2, SARAMA):
        report = judged(samples(100, 8, name) + samples(100, 8, None, key=False), 50)
        assert report.verdict is Verdict.MIXED
        assert f"keyed by trace id and hashed with {name}, others not keyed by trace id" in report.text
        assert "partition_traces_by_id: true" in report.text


def test_splits_that_the_samples_do_not_explain() -> None:
    """A producer so quiet that no sample is its."""
    report = judged(samples(250, 8, MURMUR2), 50)
    assert report.verdict is Verdict.MIXED
    assert "look for a producer that writes few messages" in report.text


class TestPartitionsAdded:
    """A topic that grows."""

    def test_while_it_is_watched(self) -> None:
        """What was sampled before is forgotten; splits from then on are the change's."""
        keying = Keying()
        keying.saw_keys(samples(100, 4, MURMUR2))
        keying.saw_split(3, TRACE)
        keying.saw_keys(samples(1, 6, MURMUR2))
        assert keying.report() == Report(Verdict.FINE, "", ((MURMUR2, 1),), 1, 1, 0)
        keying.saw_keys(samples(100, 6, MURMUR2))
        keying.saw_split(30, TRACE)
        report = keying.report()
        assert report.verdict is Verdict.REPARTITIONED
        assert "went from 4 to 6 partitions: 30 traces" in report.text
        keying.saw_keys(samples(SAMPLES, 6, SARAMA))  # another fault is not hidden by it
        assert keying.report().verdict is Verdict.FOREIGN_HASHER

    @pytest.mark.parametrize(("before", "now"), [(4, 6), (1, 8), (8, 64)])
    def test_before(self, before: int, now: int) -> None:
        """Messages that still lie as murmur2 put them among fewer partitions, alone or with new ones."""
        old = samples(100, now, lambda key, _: HASHERS[MURMUR2](key, before))
        for seen in (old, old + samples(100, now, MURMUR2, seed=3)):
            report = judged(list(seen), 10)
            assert report.verdict is Verdict.REPARTITIONED
            assert f"when the topic had {before} partitions" in report.text


def test_news_comes_once() -> None:
    """For each verdict that is not fine; never again for the same."""
    keying = Keying()
    assert keying.news() is None
    keying.saw_keys(samples(100, 8, SARAMA))
    report = keying.news()
    assert report is not None
    assert report.verdict is Verdict.FOREIGN_HASHER
    keying.saw_keys(samples(10, 8, SARAMA))
    assert keying.news() is None
    keying.saw_keys(samples(100, 8, None, key=False))
    keying.saw_split(9, TRACE)
    again = keying.news()
    assert again is not None
    assert again.verdict is Verdict.MIXED
    assert keying.news() is None
    assert "\n" not in again.text
