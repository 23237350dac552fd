"""Runs tasks in rounds, each task in a fresh process, within a bounded time."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from tests.bench.measure import CannotRun, Series
from tests.bench.tasks import Task

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What came of all rounds.

    Attributes:
        rounds: the samples of every run that ended well.
        left_out: tasks that could not be run, each with the reason.
        failed: tasks that went wrong, each with the end of what they wrote.
    """

    rounds: list[Mapping[str, Series]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run_all(tasks: Sequence[Task], folder: Path, say: Say, *, rounds: int, budget_seconds: float) -> Outcome:
    """Run every task once, then again, until its rounds are done or the time is up.

    The rounds go over all tasks, so that a figure and its baseline are measured shortly after each other.

    Args:
        tasks: in this order.
        folder: with the workload; also for what the tasks hand over.
        say: told what goes on.
        rounds: most rounds; a task may want fewer.
        budget_seconds: no second or later round of a task begins that would, by its last one, end after so long.
    """
    outcome, begun, took = Outcome(), time.monotonic(), dict[str, float]()
    for nth in range(rounds):
        for task in tasks:
            if nth >= task.rounds or task.name in outcome.left_out or task.name in outcome.failed:
                continue
            at = time.monotonic()
            if nth and at - begun + took[task.name] > budget_seconds:
                say(f"round {nth + 1}: {task.name} is not repeated, the time is up")
                continue
            _one(task, folder, outcome)
            took[task.name] = time.monotonic() - at
            word = outcome.left_out.get(task.name) or outcome.failed.get(task.name)
            what = f"{'failed' if task.name in outcome.failed else 'left out'}: {word}" if word else "done"
            say(f"round {nth + 1} of {min(rounds, task.rounds)}: {task.name}: {took[task.name]:.1f} s, {what}")
    return outcome


def _one(task: Task, folder: Path, outcome: Outcome) -> None:
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.bench", "--task", task.name, "--folder", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=task.seconds, check=False)
    except subprocess.TimeoutExpired:
        outcome.failed[task.name] = f"it did not end within {task.seconds:.0f} s"
        return
    if done.returncode or not answer.exists():
        last = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        outcome.failed[task.name] = f"it ended with {done.returncode} and said: {last[:300]}"
        return
    content = json.loads(answer.read_text())
    if isinstance(content, str):
        outcome.left_out[task.name] = content
    else:
        outcome.rounds.append({name: Series(unit, tuple(values)) for name, (unit, values) in content.items()})


def run_here(task: Task, folder: Path) -> None:
    """Run ``task`` in this process and leave its samples, or why there are none, in ``answer.json``."""
    module, _, function = task.function.partition(":")
    try:
        samples: Mapping[str, Series] = getattr(import_module(f"tests.bench.parts.{module}"), function)(folder)
    except CannotRun as why:
        answer = json.dumps(str(why))
    else:
        answer = json.dumps({name: (series.unit, series.values) for name, series in samples.items()})
    (folder / "answer.json").write_text(answer)
