"""The harness of ``make bench``: statistics, the shape of its file, what ``ONLY`` picks, and what goes wrong."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.bench import run, tasks, workload
from tests.bench.load import Load
from tests.bench.measure import Ratio, Samples, Series, as_json, as_table, joined, with_ratios
from tests.bench.tasks import TASKS, Task, chosen

ROOT = Path(__file__).parents[3]


def test_the_median_is_quoted_beside_least_and_greatest() -> None:
    """Of an odd and of an even number of values."""
    assert Series("s", (3.0, 1.0, 10.0)).summary() == {"median": 3.0, "min": 1.0, "max": 10.0, "unit": "s"}
    assert Series("s", (1.0, 2.0)).summary()["median"] == 1.5


def test_rounds_are_joined_in_their_order() -> None:
    """A name that one round lacks has fewer values; one with two units is a mistake."""
    one: Samples = {"a": Series("s", (1.0,)), "b": Series("ms", (5.0,))}
    assert joined([one, {"a": Series("s", (2.0,))}]) == {"a": Series("s", (1.0, 2.0)), "b": Series("ms", (5.0,))}
    with pytest.raises(ValueError, match="b is measured in ms and in s"):
        joined([one, {"b": Series("s", (5.0,))}])


def test_a_ratio_is_taken_round_by_round() -> None:
    """Not median over median: what slows a round slows both."""
    samples = {"new": Series("x", (10.0, 2.0, 9.0)), "old": Series("x", (5.0, 1.0))}
    ratio = Ratio("new.vs_old", "new", "old")
    assert with_ratios(samples, [ratio])["new.vs_old"] == Series("ratio", (2.0, 2.0))
    assert "new.vs_old" not in with_ratios({"new": samples["new"]}, [ratio])


def test_the_file_is_a_flat_map() -> None:
    """Name to median, min, max and unit; nothing else."""
    content = json.loads(as_json({"b": Series("s", (2.0,)), "a": Series("ms", (1.0, 3.0))}))
    assert list(content) == ["a", "b"]
    assert content["a"] == {"median": 2.0, "min": 1.0, "max": 3.0, "unit": "ms"}


def test_the_table_has_a_line_a_name() -> None:
    """Large numbers with thousands apart, small ones with four digits."""
    lines = as_table({"speed": Series("spans/CPU s", (123456.7,)), "ratio": Series("ratio", (0.98765,))}).splitlines()
    assert [line.split()[0] for line in lines] == ["median", "ratio", "speed"]
    assert "123,457" in lines[2]
    assert "0.9877" in lines[1]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("", [task.name for task in TASKS if not task.asked]),
        ("engine", ["engine"]),
        (
            "consumer",
            ["plain"]
            + [f"consumer.{n}" for n in ("plain_python", "batch", "keyed", "two", "fresh", "history", "partitions")],
        ),
        ("consumer.flat", ["consumer.flat"]),
        ("consumer.keyed", ["plain", "consumer.keyed"]),
        (" store , sdk.import", ["store", "sdk.import"]),
    ],
)
def test_only_picks_parts_with_their_baselines(only: str, names: list[str]) -> None:
    """A ratio needs both of its sides in the same run."""
    assert [task.name for task in chosen(only)] == names


def test_an_unknown_part_is_told() -> None:
    """With what there is."""
    with pytest.raises(ValueError, match=r"ONLY=konsumer is no part; there are: .*consumer.*engine"):
        chosen("engine,konsumer")


def test_every_task_can_be_found() -> None:
    """Its function is there, and what it needs is a task that runs before it."""
    before: set[str] = set()
    for task in TASKS:
        module, _, function = task.function.partition(":")
        assert callable(getattr(importlib.import_module(f"tests.bench.parts.{module}"), function))
        assert set(task.needs) <= before
        before.add(task.name)


def test_a_task_that_fails_or_cannot_run_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told once, with its reason; it is not tried again in the next round."""
    parts = {"cannot": '"no Java here"', "good": '{"x": ["s", [1.0]]}', "bad": ""}
    script = tmp_path / "child.py"
    script.write_text(
        "import sys, pathlib\n"
        f"answer = {parts!r}[sys.argv[4]]\n"
        "if not answer: sys.exit('it broke')\n"
        "pathlib.Path(sys.argv[6], 'answer.json').write_text(answer)\n"
    )
    real = subprocess.run

    def child(command: list[str], **options: Any) -> Any:
        return real([sys.executable, str(script), *command[1:]], **options)

    monkeypatch.setattr(subprocess, "run", child)
    said: list[str] = []
    some = [Task(name, "") for name in parts]
    outcome = run.run_all(some, tmp_path, said.append, rounds=2, budget_seconds=60)
    assert outcome.left_out == {"cannot": "no Java here"}
    assert list(outcome.failed) == ["bad"]
    assert outcome.failed["bad"].endswith("it broke")
    assert joined(outcome.rounds) == {"x": Series("s", (1.0, 1.0))}
    assert len(said) == 4


def test_the_workload_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """And other for another; what is written is read back."""
    shape = workload.Shape("keyed", made=5, copies=2, partitions=2)
    made = list(workload.messages(shape, 10**18))
    assert made == list(workload.messages(shape, 10**18))
    assert made != list(workload.messages(shape, 10**18, seed=1))
    workload.write(tmp_path / "keyed", made)
    assert list(workload.read(tmp_path / "keyed")) == made


@pytest.mark.parametrize("name", ["batch", "keyed"])
def test_the_workload_holds_what_its_shape_says(name: str) -> None:
    """As many spans and traces as promised; keyed messages are of one trace, all of a trace in one partition."""
    shape = workload.Shape(name, made=60, copies=3, partitions=2)
    of_trace: dict[bytes, set[int]] = {}
    sizes = []
    for partition, value in workload.messages(shape, 10**18):
        spans = [
            span
            for group in TracesData.FromString(value).resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        sizes.append(len(spans))
        assert name == "batch" or len({span.trace_id for span in spans}) == 1
        for span in spans:
            of_trace.setdefault(span.trace_id, set()).add(partition)
            assert 7 <= len(span.attributes) <= 11
    assert sum(sizes) == shape.spans == 60 * 3 * 9
    assert len(of_trace) == 180
    assert {len(partitions) for partitions in of_trace.values()} == {1}
    assert max(sizes) == (500 if name == "batch" else 5)


def test_load_that_has_just_ended() -> None:
    """Its traces end one after the other, evenly, and the last of them now."""
    load, now, length = Load("keyed", 20), 2 * 10**18, 10**8
    ends: dict[bytes, int] = {}
    for _, _, value in load.messages(1, 2, now, just_ended=length):
        for group in TracesData.FromString(value).resource_spans:
            for span in (span for scope in group.scope_spans for span in scope.spans):
                ends[span.trace_id] = max(ends.get(span.trace_id, 0), span.end_time_unix_nano)
    assert sorted(ends.values()) == [now - length * nth // 20 for nth in reversed(range(20))]


def test_the_ratios_name_what_tasks_measure() -> None:
    """No ratio over a figure that nobody takes: the names stand in the parts' sources, shapes filled in."""
    sources = "".join(path.read_text() for path in (ROOT / "tests/bench/parts").glob("*.py"))
    for ratio in tasks.RATIOS:
        for name in (ratio.figure, ratio.baseline):
            part, _, rest = name.partition(".")
            last = re.sub(r"^(batch|keyed|history_\d+x|partitions_\d+)\.", "", rest)
            assert part in {task.part for task in TASKS}
            assert last in sources, name
