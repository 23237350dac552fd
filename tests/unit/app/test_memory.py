"""The allocator keeps what is freed."""

import subprocess
import sys

import pytest

_CODE = """
import resource
from telemetry.app.memory import keep_memory
if {keep}: assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5): [b"x" * 20_000_000 for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_pages_are_not_asked_of_the_kernel_again_and_again() -> None:
    """Large pieces of memory that come and go: hardly a page fault once it keeps them, thousands before."""

    def faults(keep: bool) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _CODE.format(keep=keep)], capture_output=True, text=True, timeout=60, check=True
        )
        return int(done.stdout)

    assert faults(keep=True) < 1000
    assert faults(keep=False) > 20_000
