"""``python -m tests.faults``: break things for about an hour, and see that every path comes out right.

Environment: ``SEED`` (of each scenario's first case; printed), ``ONLY`` (scenarios, with commas between), ``CASES`` (of each
scenario; one where both SEED and ONLY are given), ``MUTANT`` (a broken consumer, which must be found out; see
``tests/faults/mutants.py``), ``KEEP`` (a folder for the logs of failed cases; ``build/faults`` if not given).
"""

import logging
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.mutants import MUTANTS
from tests.faults.runner import Totals, cases, run_case
from tests.faults.servers import Servers
from tests.real.parts.missing import Missing


def main() -> int:
    """Exit status: 0, 1 if a path was lost, doubled or wrong, 2 if what was asked for makes no sense or cannot be had."""
    only = [name for name in os.environ.get("ONLY", "").split(",") if name]
    begun = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - begun:7.1f} s  {line}\n")
        sys.stderr.flush()

    try:
        seed = int(os.environ["SEED"]) if os.environ.get("SEED") else random.SystemRandom().randrange(1, 1_000_000)
        one = 1 if only and os.environ.get("SEED") else None
        todo = cases(seed, only, int(os.environ["CASES"]) if os.environ.get("CASES") else one)
        mutant = os.environ.get("MUTANT", "")
        if mutant and mutant not in MUTANTS:
            raise ValueError(f"there is no mutant {mutant!r}; there are {', '.join(MUTANTS)}")
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for library in ("kafka", "clickhouse_driver"):  # their servers come and go, that is the point
        logging.getLogger(library).setLevel(logging.CRITICAL)
    say(f"SEED={seed}: {len(todo)} cases")
    keep = Path(os.environ.get("KEEP", "build/faults"))
    totals = Totals()
    with tempfile.TemporaryDirectory(prefix="edgepath-faults-") as made:
        servers = Servers(Path(made))
        try:
            servers.start()
            for number, case in enumerate(todo, 1):
                say(f"[{number}/{len(todo)}] {case.again}")
                world, verdict = run_case(servers, case, say, mutant)
                totals.add(case, world, verdict)
                if not verdict.good:
                    for line in verdict.lines():
                        say(f"  {line}")
                    kept = keep / f"{case.name}-{case.seed}"
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(world.directory, kept)
                    say(f"  the consumers' logs are in {kept}")
        except Missing as error:
            sys.stderr.write(f"{error}\n")
            return 2
        finally:
            servers.stop()
    sys.stdout.write("\n".join(totals.lines()) + "\n")
    return 0 if totals.good else 1


if __name__ == "__main__":
    sys.exit(main())
