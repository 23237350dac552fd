"""One evaluation of the watcher over 300 pairs of an SLO and a group; its baseline asks the same windows pair by pair."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from alerts import policies
from alerts.filters import parse
from alerts.lint import rules_of
from alerts.slos.model import Slo
from alerts.watch import Watcher
from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.bench.measure import Series, cpu
from tests.support.counting_store import CountingStore

_SLOS, _GROUPS, _DAYS, _ROUNDS = 20, 15, 30, 3
_NOW = 4_000_867_200  # far away: nothing is old enough to be forgotten
_COUNTS = ("good", "total", "good_paths", "total_paths", "good_squares", "total_squares")


def run(folder: Path) -> dict[str, Series]:
    """Seconds for an evaluation that reads all windows (one a minute) and one that reads those up to 6 h (the three between).

    What is read is counted already, and all is well: a page asks for its blame and budget besides. Storing takes longer than
    all that is measured, so that it is done once for several rounds.
    """
    found: dict[str, list[float]] = {}
    with contextlib.closing(ChdbEngine(folder / f"watch-{time.monotonic_ns()}", "edgepath")) as chdb:
        store = CountingStore(EmbeddedStore(chdb, owns_engine=False))
        schema.apply(store)
        _fill(store)
        slos, policy = [_slo(n) for n in range(_SLOS)], policies.load()
        windows = sorted({w for slo in slos for w in rules_of(slo, policy).windows})
        for _ in range(1 + _ROUNDS):
            watcher = Watcher(store, slos, policy, sync_views=False)
            store.statements.clear()
            with _taken(found, "watch.evaluate_300_pairs_seconds", "watch.evaluate_300_pairs_cpu_seconds"):
                told = watcher.evaluate(_NOW)
            found.setdefault("watch.evaluate_300_pairs_queries", []).append(len(store.statements))
            with _taken(found, "watch.evaluate_300_pairs_short_seconds", "watch.evaluate_300_pairs_short_cpu_seconds"):
                told += watcher.evaluate(_NOW + policy.interval_seconds)
            assert told == [], "all is well, and something was told"
            with _taken(found, "watch.query_a_pair_seconds", "watch.query_a_pair_cpu_seconds"):
                _pair_by_pair(store, windows, _NOW - policy.delay_seconds)
    # The first time is no measure: caches are cold.
    return {name: Series(_unit(name), tuple(values[1:])) for name, values in found.items()}


def _unit(name: str) -> str:
    return "queries" if name.endswith("_queries") else "CPU s" if name.endswith("_cpu_seconds") else "s"


@contextmanager
def _taken(found: dict[str, list[float]], name: str, cpu_name: str) -> Iterator[None]:
    """Note the seconds and CPU seconds (the embedded engine's included) of the body."""
    begun = time.monotonic()
    with cpu() as used:
        yield
    found.setdefault(name, []).append(time.monotonic() - begun)
    found.setdefault(cpu_name, []).append(used.seconds)


def _pair_by_pair(store: Store, windows: Sequence[int], end: int) -> None:
    sums = ", ".join(f"sumIf({c}, bucket > toDateTime({end - w}, 'UTC'))" for w in windows for c in _COUNTS)
    for slo in range(_SLOS):
        for group in range(_GROUPS):
            rows = store.query(
                f"SELECT {sums} FROM sli_1m WHERE slo = 'slo-{slo}' AND environment = 'prod' AND dimension = 'pop' "
                f"AND value = 'pop-{group}' AND bucket > toDateTime({end - windows[-1]}, 'UTC') "
                f"AND bucket <= toDateTime({end}, 'UTC')"
            ).rows
            assert rows[0][-1] > 0, "the pair has no counts"


def _slo(number: int) -> Slo:
    return Slo(
        name=f"slo-{number}", display_name="", description="", service=f"service-{number}", objective=Decimal("0.999"),
        period_seconds=30 * 86_400, total=parse("complete"), good=parse("outcome = 'ok'"), group_by="pop", runbook="", file="",
    )  # fmt: skip


def _fill(store: Store) -> None:
    """Minutes as the views would count them: 6,000 requests each, a few of them bad, well under what pages."""
    pairs = _SLOS * _GROUPS
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        f"total_squares) SELECT concat('slo-', toString(number % {pairs} % {_SLOS})) AS slo, "
        f"toDateTime({_NOW} - 60 * intDiv(number, {pairs}), 'UTC') AS bucket, 'prod', 'pop', "
        f"concat('pop-', toString(intDiv(number % {pairs}, {_SLOS}))) AS value, "
        "6000 - number % 3 AS good, 6000, good, 6000, good, 6000 "
        f"FROM numbers({pairs * _DAYS * 1440})"
    )
