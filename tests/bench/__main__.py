"""``python -m tests.bench``: measure, print a table, write ``build/bench.json``.

Environment: ``ONLY`` (parts or tasks, with commas between), ``ROUNDS`` (3), ``BENCH_SECONDS`` (400).
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import servers, workload
from tests.bench.measure import as_json, as_table, joined, with_ratios
from tests.bench.run import run_all, run_here
from tests.bench.tasks import RATIOS, TASKS, chosen

_BUDGET_SECONDS = 400.0


def main() -> int:
    """Exit status: 0, 1 if a task went wrong, 2 if what was asked for makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the figures go")
    arguments = parser.parse_args()
    if arguments.task:
        (task,) = (task for task in TASKS if task.name == arguments.task)
        run_here(task, arguments.folder)
        return 0
    try:
        tasks = chosen(os.environ.get("ONLY", ""))
        rounds = max(1, int(os.environ.get("ROUNDS", "3")))
        budget = float(os.environ.get("BENCH_SECONDS", _BUDGET_SECONDS))
    except ValueError as error:
        _say(str(error))
        return 2
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgepath-bench-") as made:
        folder = Path(made)
        for shape in workload.SHAPES:
            workload.write(folder / shape.name, workload.messages(shape, time.time_ns()))
            _say(f"made {shape.spans:,} spans in messages of the shape '{shape.name}'")
        needed = any(task.servers for task in tasks)
        with servers.running(folder) if needed else contextlib.nullcontext():
            outcome = run_all(tasks, folder, _say, rounds=rounds, budget_seconds=budget)
    samples = with_ratios(joined(outcome.rounds), RATIOS)
    lines = [as_table(samples)]
    lines += [f"left out: {name}: {why}" for name, why in outcome.left_out.items()]
    lines += [f"FAILED: {name}: {why}" for name, why in outcome.failed.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(as_json(samples))
    _say(
        f"{time.monotonic() - begun:.0f} s; wrote {arguments.out}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    return 1 if outcome.failed else 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
