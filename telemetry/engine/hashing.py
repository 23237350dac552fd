"""Hashes of what senders choose. In tables they are keyed: nobody outside can make keys that all want one place."""

import os
from typing import Any, Final, NamedTuple

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from telemetry.compiled import Int, inlined
from telemetry.engine.wire import Bytes, fixed64

_GOLDEN: Final = 0x9E3779B97F4A7C15


class Secret(NamedTuple):
    """What a table's hashes depend on; another one in each process."""

    mask: np.uint64
    factor: np.uint64


def new_secret() -> Secret:
    """One that nobody knows."""
    return secret_of(int.from_bytes(os.urandom(16)))


def secret_of(number: int) -> Secret:
    """The one of a number of 128 bits, for hashes that come again."""
    mask, factor = number >> 64, number % 2**64
    return Secret(np.uint64(mask), np.uint64(factor | 1))


def _folded(_typing: Any, _one: Any, _other: Any) -> Any:
    """The halves of a product of 128 bits, one on the other: one instruction for the product, which numba has no word for."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = arguments[0].type
        wide = type(word)(128)
        product = builder.mul(*(builder.zext(each, wide) for each in arguments))
        high = builder.lshr(product, wide(64))
        return builder.xor(builder.trunc(high, word), builder.trunc(product, word))

    return types.uint64(types.uint64, types.uint64), generate


folded: Any = intrinsic(_folded)


@inlined
def keyed_hash(data: Bytes, begin: Int, end: Int, kind: Int, secret: Secret) -> Int:
    """64 bits of bytes and what kind they are, for tables."""
    state = secret.mask ^ (np.uint64(kind) * np.uint64(_GOLDEN) + np.uint64(end - begin))
    at = begin
    while at + 8 <= end:
        state = folded(state ^ fixed64(data, at), secret.factor)
        at += 8
    word = np.uint64(0)
    while at < end:
        word = (word << np.uint64(8)) | np.uint64(data[at])
        at += 1
    state = folded(state ^ word, secret.factor)
    return folded(state ^ secret.mask, secret.factor)


@inlined
def hash_of(data: Bytes, begin: Int, end: Int, seed: Int) -> Int:
    """64 bits of bytes and a seed, the same in every process: for counting distinct values, not for tables or secrets."""
    state = np.uint64(seed) * np.uint64(_GOLDEN) + np.uint64(end - begin)
    at = begin
    while at + 8 <= end:
        state = (state ^ fixed64(data, at)) * np.uint64(0xFF51AFD7ED558CCD)
        state ^= state >> np.uint64(32)
        at += 8
    word = np.uint64(0)
    while at < end:
        word = (word << np.uint64(8)) | np.uint64(data[at])
        at += 1
    state = (state ^ word) * np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(29))
