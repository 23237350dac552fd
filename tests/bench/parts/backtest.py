"""Backtests over 30 stored days: of one SLO, and of a hundred; reading from the embedded store included."""

import contextlib
import time
from decimal import Decimal
from pathlib import Path

from alerts import policies
from alerts.backtest import run
from alerts.filters import parse
from alerts.sli_views import sync
from alerts.slos.model import Slo
from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.bench.measure import Series

_SLOS, _DAYS, _GROUPS = 100, 30, 2
_NOW = 4_000_867_200  # far away: nothing is old enough to be forgotten


def run_backtests(folder: Path) -> dict[str, Series]:
    """Seconds for 30 days of one SLO (two PoPs, a minute each) and of a hundred, with an incident every three days."""
    with contextlib.closing(ChdbEngine(folder / f"backtest-{time.monotonic_ns()}", "edgepath")) as chdb:
        store = EmbeddedStore(chdb, owns_engine=False)
        schema.apply(store)
        slos = [_slo(n) for n in range(_SLOS)]
        for later in (0, 60):
            sync(store, slos, 60, _NOW + later)
        policy = policies.load()
        before = run.longest_window(slos, [policy])
        _fill(store, _DAYS * 1440 + before // 60)
        taken: dict[str, float] = {}
        for name, some in (("warm", slos[:1]), ("slo_30d", slos[:1]), ("100_slos", slos)):
            begun, used = time.monotonic(), time.process_time()
            start, end = _NOW - _DAYS * 86_400, _NOW
            series = run.over_history(store, some, [policy], start, end)
            (score,) = run.compare(some, [policy], series, start, end)
            taken[f"{name}_seconds"] = time.monotonic() - begun
            taken[f"{name}_cpu_seconds"] = time.process_time() - used  # the embedded engine's included
            assert len(score.of("page")) >= len(some), "the incidents that were stored are not found"
    return {f"backtest.{name}": Series("s", (s,)) for name, s in taken.items() if not name.startswith("warm")}


def _slo(number: int) -> Slo:
    return Slo(
        name=f"slo-{number}", display_name="", description="", service=f"service-{number}", objective=Decimal("0.999"),
        period_seconds=30 * 86_400, total=parse("complete"), good=parse("outcome = 'ok'"), group_by="pop", runbook="", file="",
    )  # fmt: skip


def _fill(store: EmbeddedStore, minutes: int) -> None:
    """Minutes as the views would count them: 600 requests each, 20 % of them bad for half an hour every three days."""
    rows = _SLOS * _GROUPS * minutes
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        "total_squares) SELECT concat('slo-', toString(intDiv(number, 2) % 100)) AS slo, "
        f"toDateTime({_NOW} - 60 * (1 + intDiv(number, {_SLOS * _GROUPS})), 'UTC') AS bucket, 'prod', 'pop', "
        "concat('pop-', toString(number % 2)) AS value, "
        "if(toUnixTimestamp(bucket) % 259200 < 1800 AND value = 'pop-0', 480, 600) AS good, 600, good, 600, good, 600 "
        f"FROM numbers({rows})"
    )
