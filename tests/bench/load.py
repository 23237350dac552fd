"""Load for Kafka: the workload's messages again and again under other trace ids and at other times, made at little cost."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from kafka import KafkaProducer
from numpy.typing import NDArray

from telemetry.feeds.kafka.partitions import key_of, partitions_of
from tests.bench import workload
from tests.bench.workload import Spanned

_BATCH_BYTES: Final = 1_000_000
"""What a busy producer's record batches come to: the largest that brokers take by default."""
_FLUSH_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Template:
    """A message, and where in it stands what differs from copy to copy.

    Attributes:
        content: the message.
        ids: places of the bytes of the trace ids, 16 a span.
        times: places of the bytes of the start and end times, 8 each, little endian.
        values: the times, in ns.
        traces: to which trace each of the times belongs, by number.
        trace_id: the trace's id, if the message is of one.
    """

    content: NDArray[np.uint8]
    ids: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.int64]
    traces: NDArray[np.int64]
    trace_id: bytes = b""

    @classmethod
    def of(cls, spans: Sequence[Spanned], numbers: dict[bytes, int]) -> "Template":
        """The message of ``spans``; ``numbers`` gives each trace id's number."""
        content = workload.message(spans)
        ids, times, values, traces, at = [], [], [], [], 0
        for _, span in workload.in_message(spans):
            at = content.index(span.trace_id, at)
            ids.append(at)
            for tag, value in ((7, span.start_time_unix_nano), (8, span.end_time_unix_nano)):
                at = content.index(bytes([tag << 3 | 1]) + value.to_bytes(8, "little"), at) + 1
                times.append(at)
                values.append(value)
                traces.append(numbers[span.trace_id])
        found = {span.trace_id for _, span in spans}
        return cls(
            np.frombuffer(content, dtype=np.uint8),
            np.array(ids)[:, None] + np.arange(16),
            np.array(times)[:, None] + np.arange(8),
            np.array(values),
            np.array(traces),
            found.pop() if len(found) == 1 else b"",
        )

    def copy(self, key: bytes, later_ns: NDArray[np.int64]) -> bytes:
        """The message with each trace id XORed with ``key``, and each trace's spans later by what its number says."""
        content = self.content.copy()
        content[self.ids] ^= np.frombuffer(key, dtype=np.uint8)
        content[self.times] = (self.values + later_ns[self.traces]).astype("<i8").view(np.uint8).reshape(-1, 8)
        return content.tobytes()


class Load:
    """Messages of one shape; the same for the same seed, but for their times."""

    def __init__(self, name: str, made: int, seed: int = workload.SEED) -> None:
        """Make ``made`` traces in messages of the shape ``name``; they are what is copied."""
        rnd = random.Random(seed)
        self._keys = random.Random(seed + 1)
        traces = [workload.trace(rnd, 10**18 + nth * workload.SPACING_NS) for nth in range(made)]
        numbers = {spans[0][1].trace_id: nth for nth, spans in enumerate(traces)}
        self.name = name
        self.traces = made
        self.spans = made * workload.SPANS_A_TRACE
        self.first_ns = 10**18
        self.ends_ns = np.array([spans[0][1].end_time_unix_nano for spans in traces])
        cut = workload.cut(name, rnd, traces)
        self.templates = [Template.of(spans, numbers) for spans in cut]

    def messages(
        self, copies: int, partitions: int, now_ns: int, *, just_ended: int = 0
    ) -> Iterator[tuple[int, bytes | None, bytes]]:
        """Partition, key and value of each message.

        A copy of the shape ``batch`` is written to one partition, in turn, as many copies as there are partitions side by side;
        messages of the shape ``keyed`` go where their keys belong. The first trace of each copy begins at ``now_ns``; with
        ``just_ended``, its traces end one after the other in so many ns before ``now_ns``.
        """
        later = np.full(self.traces, now_ns - self.first_ns)
        if just_ended:
            later = now_ns - just_ended * np.arange(self.traces)[::-1] // self.traces - self.ends_ns
        if self.name == "keyed":
            for _ in range(copies):
                key = self._keys.randbytes(16)
                ids = [_renamed(template.trace_id, key) for template in self.templates]
                where = partitions_of(ids, partitions)
                for template, trace_id in zip(self.templates, ids, strict=True):
                    yield where[trace_id], key_of(trace_id), template.copy(key, later)
            return
        for first in range(0, copies, partitions):
            keys = [self._keys.randbytes(16) for _ in range(min(partitions, copies - first))]
            for template in self.templates:
                for partition, key in enumerate(keys):
                    yield partition, None, template.copy(key, later)


def _renamed(trace_id: bytes, key: bytes) -> bytes:
    return (int.from_bytes(trace_id) ^ int.from_bytes(key)).to_bytes(16)


def producer(bootstrap: str, codec: str | None = None) -> Any:
    """A producer for as much as possible."""
    return KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=codec,
        acks=1,
        linger_ms=20,
        batch_size=_BATCH_BYTES,
        max_request_size=4 * _BATCH_BYTES,
        max_in_flight_requests_per_connection=1,
    )


def produce(bootstrap: str, topic: str, load: Load, *, copies: int, partitions: int, codec: str | None = None) -> int:
    """Write ``copies`` of ``load``; returns how many spans they have."""
    sink = producer(bootstrap, codec)
    try:
        for partition, key, value in load.messages(copies, partitions, time.time_ns()):
            sink.send(topic, value=value, key=key, partition=partition)
        sink.flush(timeout=_FLUSH_SECONDS)
    finally:
        sink.close(timeout=_FLUSH_SECONDS)
    return copies * load.spans
