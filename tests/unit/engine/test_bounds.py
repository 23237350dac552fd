"""Compiled code checks no array bounds by itself: here every access is checked, on good and damaged messages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROCESS = """
import random
import numpy as np
from telemetry.domain.tiers import Tiers
from telemetry.engine.decode import Decoder
from telemetry.engine.strings import Strings
from tests.support import otlp_messages
from tests.support.traces import Seeded
from tests.unit.engine.test_decode_bad_messages import GOOD, cut, flipped, noise, records_of, shifted

decoder, chance, spans, malformed = Decoder(Strings(Tiers())), random.Random(1), 0, 0
for turn in range(400):
    values = [chance.choice((cut, flipped, shifted, noise))(v, chance) if chance.random() < 0.5 else v
              for v in chance.choices(GOOD, k=6)]
    decoded = decoder.decode_records(records_of(values))
    spans, malformed = spans + len(decoded.spans), malformed + len(decoded.malformed)
print(spans, malformed)
"""


@pytest.mark.timeout(400)
def test_the_decoder_reads_and_writes_within_bounds() -> None:
    """What is outside raises IndexError in this mode, and would be somebody else's memory in the other."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1"},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    spans, malformed = map(int, done.stdout.split())
    assert spans > 1_000
    assert malformed > 200
