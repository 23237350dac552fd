"""The short set of faults, on a real Kafka and a real ClickHouse: one world, one kind of fault after the other.

``SEED=n`` chooses another seed. ``make faults`` is the long set.
"""

import os
from collections.abc import Iterator

import pytest

from tests.faults import scenarios
from tests.faults.runner import run_round
from tests.faults.scenarios import SMALL_WINDOW, Scenario
from tests.faults.servers import Servers
from tests.faults.workload import Mix
from tests.faults.world import Setting, World

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

SEED = int(os.environ.get("SEED", "1"))
SETTING = Setting(
    grace=1.5,
    session_timeout=4.0,
    window=SMALL_WINDOW,
    stale_blocks=SMALL_WINDOW // 5,
    mix=Mix(poison=0.1),
)
ROUNDS = {
    "consumers killed and stopped": (scenarios.kill, scenarios.zombie),
    "statements late and answers lost": (scenarios.late_statement, scenarios.answer_lost, scenarios.cut_off),
    "ClickHouse killed": (scenarios.cut, scenarios.usurped, scenarios.clickhouse_kill),
    "Kafka restarted": (scenarios.kafka_restart, scenarios.rebalance),
}


@pytest.fixture(scope="module")
def world(servers: Servers) -> Iterator[World]:
    """All rounds are done in one world, so that what one of them leaves behind meets the next."""
    with World(servers, SEED, SETTING, print) as made:
        yield made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ROUNDS)
def test_every_path_is_right_after(world: World, name: str) -> None:
    """Nothing lost, nothing doubled, nothing different, and every count in every roll-up equals a recount."""

    def do(it: World) -> None:
        for fault in ROUNDS[name]:
            fault(it)

    verdict = run_round(world, Scenario(name, do, cases=1, rounds=1, settle_seconds=60))
    found = "\n".join(verdict.lines())
    assert verdict.good, f"SEED={SEED} pytest tests/faults/test_faults.py repeats it\n{found}"
    assert verdict.checked > 20
