"""Whether the spans of a trace can meet: how a topic's messages are keyed, judged from a few of them.

A trace is assembled by the consumer that has its partition, so all its spans must lie in one. They do when every producer
keys by trace id and hashes alike. When not, paths fall apart without an error anywhere; so it is looked for, and told with
what to do. Pure: samples in, a verdict out, in bounded memory.

Hashers: Kafka's own clients hash murmur2 (KIP-480, ``Utils.murmur2``). Sarama, whose way the OpenTelemetry Collector's Kafka
exporter takes by default, hashes FNV-1a 32 and takes the remainder as Go does, with its sign dropped. librdkafka's default
(``consistent_random``) is CRC-32.
"""

import math
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kafka.partitioner.default import murmur2

SAMPLES: Final = 256
_ENOUGH_KEYS: Final = 20  # before anything is said of a hasher: a wrong one hits one partition of n by chance
_ENOUGH_SPLITS: Final = 5  # a lone trace may be split by a client that reuses an id
_SOME: Final = 0.1  # of the messages: so many are a producer
_FEW: Final = 0.05  # so many are noise
_HEX: Final = frozenset(b"0123456789abcdef")
MURMUR2: Final = "murmur2"
UNKNOWN: Final = "a hasher that is not known here"
_MEND_HASHER: Final = (
    "set record_partitioner.sticky_key.hasher: murmur2 in the Kafka exporter of every OpenTelemetry Collector "
    "(librdkafka: partitioner=murmur2_random)"
)
_MEND_KEY: Final = "set partition_traces_by_id: true in the Kafka exporter of every OpenTelemetry Collector"


class Verdict(StrEnum):
    """How a topic is keyed."""

    FINE = "fine"
    """By trace id and murmur2, or nothing speaks against it."""
    UNKEYED = "unkeyed"
    """Without keys, or by keys that are no trace ids; and traces are split."""
    FOREIGN_HASHER = "foreign_hasher"
    """By trace id, with another hasher than Kafka's own."""
    MIXED = "mixed"
    """By producers that disagree: two hashers, or keyed and unkeyed; traces are split."""
    REPARTITIONED = "repartitioned"
    """The topic got partitions: traces of before and after lie elsewhere. It passes by itself."""


@dataclass(frozen=True, slots=True)
class KeySample:
    """The key of one message.

    Attributes:
        partition: where the message lay.
        key: its key; None without.
        partitions: how many partitions the topic had then.
    """

    partition: int
    key: bytes | None
    partitions: int


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        verdict: in a word.
        text: in one line, with what to do; empty if all is fine.
        hashers: how many of the sampled keys each hasher explains; a key may be explained by several.
        sampled: how many messages were looked at lately; ``keyed`` of them had a trace id for a key.
        splits: how many traces were seen in more than one partition since the start.
    """

    verdict: Verdict
    text: str = ""
    hashers: tuple[tuple[str, int], ...] = ()
    sampled: int = 0
    keyed: int = 0
    splits: int = 0


def _java(key: bytes, partitions: int) -> int:
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def fnv1a(key: bytes) -> int:
    """FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    found = 0x811C9DC5
    for byte in key:
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found


def _sarama(key: bytes, partitions: int) -> int:
    found = fnv1a(key)
    signed = found - (1 << 32) if found >= 1 << 31 else found
    return abs(signed) % partitions  # Go's remainder has the sign of the dividend; it is dropped


def _librdkafka(key: bytes, partitions: int) -> int:
    return zlib.crc32(key) % partitions


HASHERS: Final[dict[str, Callable[[bytes, int], int]]] = {
    MURMUR2: _java,
    "Sarama's FNV-1a": _sarama,
    "librdkafka's CRC-32": _librdkafka,
}
"""What may have chosen a partition: name, and (key, how many partitions) to a partition."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A sample, and what was worked out of its key once."""

    partitions: int
    partition: int
    keyed: bool
    explained: frozenset[str]
    hash: int


class Keying:
    """Collects what is seen of a topic's keys. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[_Seen] = deque(maxlen=SAMPLES)
        self._splits = 0
        self._example = b""
        self._grew: tuple[int, int] | None = None
        self._told = Verdict.FINE
        self._report: Report | None = Report(Verdict.FINE)

    def saw_keys(self, samples: Sequence[KeySample]) -> None:
        """A few messages of late. When the topic has another number of partitions than before, what was seen is forgotten."""
        with self._lock:
            for sample in samples:
                if self._seen and self._seen[-1].partitions != sample.partitions:
                    self._grew = self._seen[-1].partitions, sample.partitions
                    self._seen.clear()
                    self._splits = 0
                self._seen.append(_look(sample))
                self._report = None

    def saw_split(self, count: int, example: bytes) -> None:
        """``count`` more traces were seen in more than one partition; ``example`` is the id of one, as bytes."""
        if count:
            with self._lock:
                self._splits += count
                self._example = example
                self._report = None

    def news(self) -> Report | None:
        """The report, once when its verdict has become another one than fine, and once more for each further change."""
        report = self.report()
        with self._lock:
            if report.verdict in (self._told, Verdict.FINE):
                return None
            self._told = report.verdict
            return report

    def report(self) -> Report:
        """What speaks from the samples and splits so far."""
        with self._lock:
            if self._report is None:
                self._report = _judge(tuple(self._seen), self._splits, self._example, self._grew)
            return self._report


def _look(sample: KeySample) -> _Seen:
    key = sample.key
    keyed = key is not None and is_trace_key(key)
    if key is None or not keyed:
        return _Seen(sample.partitions, sample.partition, keyed, frozenset(), 0)
    explained = frozenset(
        name for name, hasher in HASHERS.items() if hasher(key, sample.partitions) == sample.partition
    )
    return _Seen(sample.partitions, sample.partition, keyed, explained, murmur2(key) & 0x7FFFFFFF)


def _judge(samples: Sequence[_Seen], splits: int, example: bytes, grew: tuple[int, int] | None) -> Report:
    keyed = [sample for sample in samples if sample.keyed]
    hits = Counter(name for sample in keyed for name in sample.explained)
    unkeyed = len(samples) - len(keyed) >= max(1.0, _SOME * len(samples))
    hashers: tuple[str, ...] = (MURMUR2,)
    before = 0
    if len(keyed) >= _ENOUGH_KEYS and samples[-1].partitions > 1:
        hashers, before = _explaining(keyed)
    split = (
        f"{splits} traces were seen in more than one partition, one is {example.hex()}"
        if splits >= _ENOUGH_SPLITS
        else ""
    )
    verdict, text = _verdict(
        hashers, before, split, unkeyed=unkeyed, keyed=len(keyed) >= _SOME * len(samples), grew=grew
    )
    return Report(verdict, text, tuple(hits.most_common()), len(samples), len(keyed), splits)


def _verdict(  # noqa: PLR0911 - one for each case
    hashers: tuple[str, ...], before: int, split: str, *, unkeyed: bool, keyed: bool, grew: tuple[int, int] | None
) -> tuple[Verdict, str]:
    """The verdict and its text.

    Args:
        hashers: what explains where the keyed messages lie.
        before: how many partitions the topic had when murmur2 put there what nothing else explains; 0 if that is not it.
        split: what to say of split traces; empty if there are hardly any.
        unkeyed: whether some messages are not keyed by trace id.
        keyed: whether some are.
        grew: the numbers of partitions before and after a change that was seen.
    """
    other = [name for name in hashers if name != MURMUR2]
    if before:
        return Verdict.REPARTITIONED, (
            f"some messages were written when the topic had {before} partitions: traces that were open at the change are "
            "split; it passes by itself"
        )
    if other and not split:
        return Verdict.FOREIGN_HASHER, (
            f"messages are keyed by trace id, but hashed with {' and '.join(other)}, not with murmur2 as by Kafka's own "
            f"clients and `edgepath receive`; as soon as both write, traces are split; {_MEND_HASHER}"
        )
    if not split:
        return Verdict.FINE, ""
    if unkeyed and not keyed:
        return Verdict.UNKEYED, f"messages are not keyed by trace id: {split}; {_MEND_KEY}, and {_MEND_HASHER}"
    if unkeyed or (other and len(hashers) > 1):
        ways = [f"keyed by trace id and hashed with {name}" for name in hashers]
        if unkeyed:
            ways.append("not keyed by trace id")
        mend = f"{_MEND_KEY}, and {_MEND_HASHER}" if unkeyed else _MEND_HASHER
        return Verdict.MIXED, f"producers disagree, messages are {', others '.join(ways)}: {split}; {mend}"
    if other:
        return Verdict.FOREIGN_HASHER, (
            f"messages are keyed by trace id, but hashed with {other[0]}, not with murmur2: {split}; {_MEND_HASHER}"
        )
    if grew:
        return Verdict.REPARTITIONED, (
            f"the topic went from {grew[0]} to {grew[1]} partitions: {split}; it passes when the traces of before are closed"
        )
    return Verdict.MIXED, (
        f"{split}, though the messages looked at are keyed and hashed right: look for a producer that writes few messages; "
        f"{_MEND_KEY}, and {_MEND_HASHER}"
    )


def _explaining(keyed: Sequence[_Seen]) -> tuple[tuple[str, ...], int]:
    """The fewest hashers that explain all samples but a few, murmur2 first, :data:`UNKNOWN` for a rest.

    Returns:
        The hashers; and, if the rest is what murmur2 did when the topic had fewer partitions, how many (without UNKNOWN).
    """
    names: list[str] = []
    left = list(keyed)
    while len(left) > _FEW * len(keyed):
        hits = Counter(name for sample in left for name in sample.explained)
        # By chance a hasher explains one of n. What explains clearly more (4 standard deviations) is one that is in use.
        chance = 1 / left[0].partitions
        least = len(left) * chance + 4 * math.sqrt(len(left) * chance * (1 - chance))
        name, count = hits.most_common(1)[0] if hits else ("", 0)
        if count < max(least, _FEW * len(keyed)) and count < len(left):
            break
        names.append(name)
        left = [sample for sample in left if name not in sample.explained]
    names.sort(key=lambda name: name != MURMUR2)
    if len(left) <= _FEW * len(keyed):
        return tuple(names), 0
    before = _fewer(left)
    return (*names, *(() if before else (UNKNOWN,))), before


def _fewer(left: Sequence[_Seen]) -> int:
    if len(left) < _ENOUGH_KEYS:
        return 0
    for count in range(left[0].partitions - 1, 0, -1):
        if sum(sample.hash % count == sample.partition for sample in left) >= (1 - _SOME) * len(left):
            return count
    return 0


def is_trace_key(key: bytes) -> bool:
    """Whether a key is a hex trace id, as the Collector and our receiver write it."""
    return len(key) == 32 and _HEX.issuperset(key)
