"""Hashes of strings, keyed and not."""

import random

import numpy as np

from telemetry.engine.hashing import hash_of, keyed_hash, new_secret, secret_of

WORD = (1 << 64) - 1


def keyed(text: bytes, kind: int = 0, number: int = 0x9D3C_1F6E_8B2A_7745_03F1_E5D7_62C9_AB8B) -> int:
    """The hash with the secret of a number."""
    return int(keyed_hash(np.frombuffer(text, np.uint8), 0, len(text), kind, secret_of(number)))


def test_strings_that_were_made_for_one_place_are_spread() -> None:
    """Sixteen bytes of which the second half takes back what the first one did."""
    chance, made = random.Random(2), []
    for _ in range(2_000):
        first = chance.getrandbits(64)
        state = (16 ^ first) * 0xFF51AFD7ED558CCD & WORD
        second = state ^ (state >> 32) ^ 0x1122334455667788
        made.append(first.to_bytes(8, "little") + second.to_bytes(8, "little"))
    assert len({int(hash_of(np.frombuffer(text, np.uint8), 0, 16, 0)) for text in made}) == 1
    assert len({keyed(text) for text in made}) == 2_000
    assert len({keyed(text) & 0xFFFF for text in made}) > 1_900


def test_all_of_a_string_counts() -> None:
    """Each byte, how many there are, and its kind; and the secret."""
    texts = [b"a" * size for size in range(40)] + [b"\0" * size for size in range(1, 40)]
    texts += [b"a" * at + b"b" + b"a" * (20 - at) for at in range(21)]
    assert len({keyed(text, kind) for text in texts for kind in range(3)}) == 3 * len(texts)
    assert len({keyed(b"checkout", number=number << 96 | number) for number in range(1, 200, 2)}) == 100
    data = np.frombuffer(b"checkout", np.uint8)
    assert keyed_hash(data, 0, 8, 0, new_secret()) != keyed_hash(data, 0, 8, 0, new_secret())


def test_what_is_stored_is_the_same_in_every_process() -> None:
    """The hash of a client's address: clients are counted over what many processes stored."""
    data = np.frombuffer(b"192.168.10.20", np.uint8)
    assert int(hash_of(data, 0, len(data), 7)) == 0x13A892A0DE66DF76
