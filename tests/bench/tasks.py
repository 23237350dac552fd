"""What can be measured: tasks, each run in a process of its own, once a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.measure import Ratio


@dataclass(frozen=True)
class Task:
    """One process's worth of measuring.

    Attributes:
        name: its part, a dot, and which one; or its part alone.
        function: ``module:function`` below ``tests.bench.parts``; takes a folder with the workload, returns samples.
        needs: tasks whose figures are its baselines.
        rounds: how often it runs, at most.
        seconds: longest time for one run.
        servers: whether it needs a Kafka and a ClickHouse server.
        asked: it is long, and runs only where ``ONLY`` names it itself.
    """

    name: str
    function: str
    needs: tuple[str, ...] = ()
    rounds: int = 3
    seconds: float = 90.0
    servers: bool = False
    asked: bool = False

    @property
    def part(self) -> str:
        """What ``ONLY`` names."""
        return self.name.partition(".")[0]


TASKS: Final = (
    Task("plain", "plain:run"),
    Task("consumer.plain_python", "plain_consumer:run", seconds=120, servers=True),
    Task("consumer.batch", "consumer:batch", needs=("plain", "consumer.plain_python"), seconds=300, servers=True),
    Task("consumer.keyed", "consumer:keyed", needs=("plain",), seconds=300, servers=True),
    Task("consumer.two", "consumer:two", seconds=300, servers=True),
    Task("consumer.fresh", "steady:fresh", rounds=1, seconds=240, servers=True),
    Task("consumer.history", "growth:history", rounds=1, seconds=600, servers=True),
    Task("consumer.partitions", "growth:partitions", rounds=1, seconds=600, servers=True),
    Task("consumer.flat", "steady:flat", rounds=1, seconds=900, servers=True, asked=True),
    Task("embedded.batch", "embedded:batch"),
    Task("embedded.keyed", "embedded:keyed"),
    Task("engine", "engine:run"),
    Task("hostile.traces", "hostile:traces", rounds=1),
    Task("hostile.long_names", "hostile:long_names", rounds=1),
    Task("hostile.new_names", "hostile:new_names", rounds=1, seconds=180),
    Task("hostile.large_traces", "hostile:large_traces", rounds=1),
    Task("store", "store:run"),
    Task("sdk.asgi", "sdk:asgi"),
    Task("sdk.official", "sdk_official:run"),
    Task("sdk.redaction", "sdk_redaction:run"),
    Task("sdk.import", "sdk_import:run"),
    Task("backtest", "backtest:run_backtests", rounds=1, seconds=300),
    Task("watch", "watch:run", rounds=1, seconds=240),
)

RATIOS: Final = (
    Ratio(
        "consumer.vs_plain_python",
        "consumer.batch.spans_per_cpu_second",
        "consumer.plain_python.spans_per_cpu_second",
    ),
    Ratio(
        "consumer.vs_plain_python_rows",
        "consumer.batch.spans_per_cpu_second",
        "plain.batch.rows.spans_per_cpu_second",
    ),
    Ratio(
        "consumer.vs_plain_python_paths",
        "consumer.batch.spans_per_cpu_second",
        "plain.batch.paths.spans_per_cpu_second",
    ),
    Ratio(
        "consumer.keyed.vs_plain_python",
        "consumer.keyed.spans_per_cpu_second",
        "plain.keyed.rows.spans_per_cpu_second",
    ),
    Ratio("consumer.history_10x.vs_1x", "consumer.history_10x.cpu_us_per_span", "consumer.history_1x.cpu_us_per_span"),
    Ratio(
        "consumer.history_100x.vs_1x", "consumer.history_100x.cpu_us_per_span", "consumer.history_1x.cpu_us_per_span"
    ),
    Ratio(
        "consumer.history_100x.server_vs_1x",
        "consumer.history_100x.server_cpu_us_per_span",
        "consumer.history_1x.server_cpu_us_per_span",
    ),
    Ratio(
        "consumer.partitions_8.vs_1", "consumer.partitions_8.cpu_us_per_span", "consumer.partitions_1.cpu_us_per_span"
    ),
    Ratio(
        "consumer.partitions_64.vs_1", "consumer.partitions_64.cpu_us_per_span", "consumer.partitions_1.cpu_us_per_span"
    ),
    Ratio("sdk.asgi.vs_plain_sdk", "sdk.asgi.us_per_request", "sdk.asgi.plain_sdk.us_per_request"),
    Ratio("sdk.asgi.vs_official", "sdk.asgi.ours.us_per_request", "sdk.asgi.official.us_per_request"),
    Ratio("sdk.hop.vs_plain_sdk", "sdk.hop.us_per_span", "sdk.plain_sdk.us_per_span"),
    Ratio("watch.vs_query_a_pair", "watch.evaluate_300_pairs_seconds", "watch.query_a_pair_seconds"),
    Ratio("watch.vs_query_a_pair_cpu", "watch.evaluate_300_pairs_cpu_seconds", "watch.query_a_pair_cpu_seconds"),
)


def chosen(only: str, tasks: Sequence[Task] = TASKS) -> list[Task]:
    """The tasks that ``only`` names, parts or tasks with commas between, and what they need; all if it is empty.

    Raises:
        ValueError: one of the names is nobody's.
    """
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if not wanted:
        return [task for task in tasks if not task.asked]
    by_name: Mapping[str, Task] = {task.name: task for task in tasks}
    found: set[str] = set()
    for name in wanted:
        meant = [task for task in tasks if name == task.name or (name == task.part and not task.asked)]
        if not meant:
            known = ", ".join(sorted({task.part for task in tasks} | set(by_name)))
            raise ValueError(f"ONLY={name} is no part; there are: {known}")
        for task in meant:
            found |= {task.name, *task.needs}
    return [task for task in tasks if task.name in found]
