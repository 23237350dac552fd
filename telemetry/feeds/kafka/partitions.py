"""Which partition a trace goes to.

The rule is the one of Kafka's own clients: ``murmur2(key) & 0x7fffffff % partitions``. The key is the lower-case **hex**
trace id in ASCII, as the OpenTelemetry Collector's Kafka exporter writes it (``partition_traces_by_id``), so that the spans
of one trace meet in one partition whether our receiver wrote them or a Collector that hashes with murmur2.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
from kafka.partitioner.default import murmur2

_SEED: Final = 0x9747B28C
_M: Final = np.uint32(0x5BD1E995)
_KEY_BYTES: Final = 32
_Words = npt.NDArray[np.uint32]


def key_of(trace_id: bytes) -> bytes:
    """The message key of a trace."""
    return trace_id.hex().encode()


def partitions_of(trace_ids: Iterable[bytes], count: int) -> dict[bytes, int]:
    """The partition of each trace id, of ``count`` partitions."""
    ids = list(trace_ids)
    usual = [trace_id for trace_id in ids if len(trace_id) == _KEY_BYTES // 2]
    found = {trace_id: (murmur2(key_of(trace_id)) & 0x7FFFFFFF) % count for trace_id in ids if len(trace_id) != 16}
    if usual:
        keys = np.frombuffer(b"".join(usual).hex().encode(), dtype="<u4").reshape(-1, _KEY_BYTES // 4)
        hashes = _murmur2(keys.astype(np.uint32)) & np.uint32(0x7FFFFFFF)
        found.update(zip(usual, (hashes % np.uint32(count)).tolist(), strict=True))
    return found


def _murmur2(words: _Words) -> _Words:
    """Murmur2 of many keys of 32 bytes at once: all in uint32, where overflow is what the algorithm wants.

    Args:
        words: the keys, shape (keys, 8).
    """
    hashes = np.full(len(words), _SEED ^ _KEY_BYTES, dtype=np.uint32)
    for column in range(words.shape[1]):
        word = words[:, column] * _M
        word ^= word >> np.uint32(24)
        word *= _M
        hashes *= _M
        hashes ^= word
    hashes ^= hashes >> np.uint32(13)
    hashes *= _M
    hashes ^= hashes >> np.uint32(15)
    return hashes
