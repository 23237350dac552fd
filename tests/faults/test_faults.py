"""The short set of faults, on a real Kafka and a real ClickHouse: one world, one kind of fault after the other.

``SEED=n`` chooses another seed. ``make faults`` is the long set.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.faults import scenarios
from tests.faults.runner import run_round
from tests.faults.scenarios import SMALL_WINDOW, Scenario
from tests.faults.servers import Servers
from tests.faults.workload import Mix
from tests.faults.world import Setting, World

pytestmark = pytest.mark.real

SEED = int(os.environ.get("SEED", "1"))
PLAIN = Setting(grace=1.5, session_timeout=4.0, mix=Mix(poison=0.1))
SMALL = replace(PLAIN, window=SMALL_WINDOW, stale_blocks=SMALL_WINDOW // 5)
ROUNDS = {
    "consumers killed and stopped": ("small", (scenarios.kill, scenarios.zombie)),
    "statements late and answers lost": ("small", (scenarios.late_statement, scenarios.answer_lost, scenarios.cut_off)),
    "Kafka restarted": ("small", (scenarios.kafka_restart, scenarios.rebalance)),
    "ClickHouse killed": ("plain", (scenarios.cut, scenarios.usurped, scenarios.clickhouse_kill)),
}
"""The world, and what is done there. A window that forgets within seconds outlives no statement of a server that starts with
all that waited for it: what is written down as not covered would be found there as soon as the machine is busy."""


@pytest.fixture(scope="module")
def small(servers: Servers) -> Iterator[World]:
    """All rounds with small windows are done in one world, so that what one of them leaves behind meets the next."""
    with World(servers, SEED, SMALL, print) as made:
        yield made


@pytest.fixture(scope="module")
def plain(servers: Servers) -> Iterator[World]:
    """With the windows of the schema."""
    with World(servers, SEED, PLAIN, print) as made:
        yield made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ROUNDS)
def test_every_path_is_right_after(request: pytest.FixtureRequest, name: str) -> None:
    """Nothing lost, nothing doubled, nothing different, and every count in every roll-up equals a recount."""
    where, faults = ROUNDS[name]
    world: World = request.getfixturevalue(where)

    def do(it: World) -> None:
        for fault in faults:
            fault(it)

    verdict = run_round(world, Scenario(name, do, cases=1, rounds=1, settle_seconds=60))
    found = "\n".join(verdict.lines())
    assert verdict.good, f"SEED={SEED} pytest tests/faults/test_faults.py repeats it\n{found}"
    assert verdict.checked > 20
