"""Runs cases and adds up what they found."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.faults.checker import Verdict
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.servers import Servers
from tests.faults.world import World

_FLOW_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Case:
    """A scenario with a seed."""

    name: str
    seed: int

    @property
    def again(self) -> str:
        """The command that repeats it."""
        return f"make faults ONLY={self.name} SEED={self.seed}"


@dataclass
class Totals:
    """What the cases of a run came to.

    Attributes:
        faults: done, and all was well afterwards.
        checked, lost, doubled, different: paths; of ``different`` also what else was wrong.
        failed: cases with a finding, each with what was found.
    """

    faults: int = 0
    checked: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    failed: list[tuple[Case, list[str]]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return not (self.failed or self.lost or self.doubled or self.different)

    def add(self, case: Case, world: World | None, verdict: Verdict) -> None:
        """Count a case in."""
        self.checked += verdict.checked
        self.lost += len(verdict.lost)
        self.doubled += len(verdict.doubled)
        self.different += len(verdict.different)
        if not verdict.good:
            self.failed.append((case, list(verdict.lines())))
        elif world is not None:
            self.faults += world.faults

    def lines(self) -> Iterator[str]:
        """The report; its last line has the sums."""
        for case, found in self.failed:
            yield f"FAILED {case.name}, seed {case.seed}; to repeat it: {case.again}"
            yield from (f"    {line}" for line in found)
        if self.different:
            yield f"different: {self.different}"
        yield (
            f"faults survived: {self.faults}, paths checked: {self.checked}, lost: {self.lost}, doubled: {self.doubled}"
        )


def cases(seed: int, only: Sequence[str] = (), count: int | None = None) -> list[Case]:
    """The cases of a run: every scenario in turn, with seeds from ``seed`` on.

    Args:
        seed: the first one of each scenario.
        only: names of scenarios; all if empty.
        count: how many cases of each; as many as the scenario says if None.

    Raises:
        ValueError: there is no such scenario.
    """
    if unknown := [name for name in only if name not in SCENARIOS]:
        raise ValueError(f"there is no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    return [
        Case(name, seed + number)
        for name, scenario in SCENARIOS.items()
        if not only or name in only
        for number in range(scenario.cases if count is None else count)
    ]


def run_case(servers: Servers, case: Case, say: Callable[[str], None], mutant: str = "") -> tuple[World, Verdict]:
    """Run one case; what is left of it is in its world, closed.

    Args:
        servers: started.
        case: what.
        say: tells the progress.
        mutant: how the consumers are broken, if they are.
    """
    scenario = SCENARIOS[case.name]
    setting = replace(scenario.setting, mutant=mutant)
    say(f"{case.name}, seed {case.seed}: {scenario.about}")
    with World(servers, case.seed, setting, lambda line: say(f"  {line}")) as world:
        verdict = Verdict()
        for number in range(scenario.rounds):
            verdict = run_round(world, scenario)
            say(f"  round {number + 1} of {scenario.rounds}: {_summary(verdict)}")
            if not verdict.good:
                break
        return world, verdict


def run_round(world: World, scenario: Scenario) -> Verdict:
    """One round: traffic, a fault, rest, check."""
    world.traffic.start()
    world.pass_time(_FLOW_SECONDS)
    scenario.round(world)
    world.ready()
    begun = time.monotonic()
    settled = world.settle(scenario.settle_seconds)
    if settled:
        world.say(f"settled after {time.monotonic() - begun:.1f} s")
    return world.verdict(settled=settled)


def _summary(verdict: Verdict) -> str:
    told = f"{verdict.checked} paths, {verdict.restated} restated, {verdict.late} late spans"
    if verdict.good:
        return f"{told}: all right"
    return f"{told}: {len(verdict.lost)} lost, {len(verdict.doubled)} doubled, {len(verdict.different)} different"
