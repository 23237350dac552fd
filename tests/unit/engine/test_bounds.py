"""Compiled code checks no array bounds by itself: here every access is checked, on good and damaged messages.

Outside of this mode a wrong index is somebody else's memory, a negative one too.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = (
    "engine/test_columns.py",
    "engine/test_decode.py",
    "engine/test_decode_bad_messages.py",
    "engine/test_emitted.py",
    "engine/test_engine.py",
    "engine/test_memory_bounds.py",
    "engine/test_hashing.py",
    "engine/test_metrics.py",
    "engine/test_open_traces.py",
    "engine/test_same_as_reference.py",
    "engine/test_sorting.py",
    "engine/test_span_data.py",
    "feeds/test_kafka_record_sets.py",
)
LONG = "flood_and_after and not flood_and_after[0]"


@pytest.mark.timeout(600)
def test_the_engine_reads_and_writes_within_bounds() -> None:
    """All its tests again, where what is outside raises IndexError."""
    here = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({LONG})"]
        + [str(here / module) for module in MODULES],
        cwd=here.parents[1],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1"},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > 200


def test_the_mode_finds_an_index_that_is_out_of_bounds() -> None:
    """Behind the end, and before the beginning: nothing counts from the end."""
    code = (
        "import numpy as np\n"
        "from telemetry.compiled import compiled\n"
        "@compiled\n"
        "def at(data, place):\n"
        "    return data[place]\n"
        "for place in (3, -1):\n"
        "    try:\n"
        "        print(at(np.zeros(3), place))\n"
        "    except IndexError:\n"
        "        print('out')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["out", "out"], done.stderr[-2000:]
