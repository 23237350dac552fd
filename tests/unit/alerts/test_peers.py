"""Watchers that settle among them who tells that ClickHouse is away."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.peers import Ask, Decision, Peers, Stage, Standing

BLIND = 60.0


class Clock:
    """Stands still but for what passes in a pause."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Pass."""
        self.now += seconds


@dataclass
class World:
    """Watchers that ask each other in any order, each at one step at a time."""

    count: int
    clock: Clock = field(default_factory=Clock)
    deaf: set[tuple[int, int]] = field(default_factory=set)
    told: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peers: list[Peers] = []
        for me in range(self.count):
            asks = [
                self._asking(me, other) for other in range(self.count)
            ]  # itself among them: one settings file for all
            self.peers.append(Peers(f"w{me}", asks, monotonic=self.clock, sleep=self.clock.sleep))
        self.running: list[Generator[int | None, Standing | None, Decision] | None] = [None] * self.count
        self.wanted: list[int | None] = [None] * self.count
        self.left: list[bool] = [False] * self.count

    def _asking(self, me: int, other: int) -> Ask:
        def ask() -> Standing | None:
            return None if (me, other) in self.deaf else Standing(f"w{other}", self.peers[other].stage, 2 * BLIND)

        return ask

    def step(self, me: int) -> None:
        """Let one do the next thing."""
        if me in self.told or self.left[me]:
            return
        try:
            running = self.running[me]
            if running is None:
                running = self.running[me] = self.peers[me].steps(BLIND)
                self.wanted[me] = next(running)
            elif (wanted := self.wanted[me]) is None:
                self.clock.sleep(0.25)
                self.wanted[me] = next(running)
            else:
                self.wanted[me] = running.send(self.peers[me]._ask[wanted]())
        except StopIteration as end:
            self.running[me] = None
            if end.value is Decision.TELL:
                self.told.append(me)
            else:
                self.left[me] = end.value is Decision.LEFT
                self.clock.sleep(0.1)

    def finish(self) -> None:
        """All go on in turn until each has told or left it."""
        for _ in range(2_000):
            for me in range(self.count):
                self.step(me)
        assert all(me in self.told or self.left[me] for me in range(self.count))


@settings(max_examples=2_000, deadline=None, derandomize=True, database=None)
@given(st.integers(2, 3), st.lists(st.integers(0, 2), max_size=60))
def test_one_tells_in_whatever_order_they_ask(count: int, order: Sequence[int]) -> None:
    """Neither none nor two."""
    world = World(count)
    for me in order:
        world.step(me % count)
    world.finish()
    assert len(world.told) == 1


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=6), st.lists(st.integers(0, 2), max_size=60))
def test_somebody_tells_whoever_cannot_be_heard(deaf: list[tuple[int, int]], order: Sequence[int]) -> None:
    """A page that comes twice is better than none."""
    world = World(3, deaf=set(deaf))
    for me in order:
        world.step(me)
    world.finish()
    assert world.told


def _always(answer: Standing | None) -> Ask:
    return lambda: answer


def asked(*answers: Standing | None, me: str = "w5") -> tuple[Peers, Clock]:
    """A watcher whose others always answer the same."""
    clock = Clock()
    return Peers(me, [_always(a) for a in answers], monotonic=clock, sleep=clock.sleep), clock


def test_a_watcher_alone_tells_at_once() -> None:
    peers, clock = asked()
    assert peers.stage is Stage.NONE
    assert peers.decide(BLIND) is Decision.TELL
    assert (peers.stage, clock.now) == (Stage.TOLD, 1000.0)
    assert peers.over(ours=True)
    assert peers.stage is Stage.NONE


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (None, Decision.TELL),
        (Standing("w5", Stage.CLAIMED), Decision.TELL),
        (Standing("w4", Stage.NONE, None), Decision.TELL),
        (Standing("w4", Stage.NONE, 61.0), Decision.TELL),
        (Standing("w4", Stage.NONE, 59.0), Decision.WAIT),
        (Standing("w9", Stage.YIELDED, 59.0), Decision.WAIT),
        (Standing("w4", Stage.CLAIMED, 90.0), Decision.WAIT),
        (Standing("w9", Stage.YIELDED, None), Decision.TELL),
        (Standing("w9", Stage.TOLD, None), Decision.LEFT),
        (Standing("w9", Stage.TOLD, 1.0), Decision.LEFT),
    ],
)
def test_what_another_says(answer: Standing | None, decision: Decision) -> None:
    """It does not answer, is ourselves, is not blind long enough, evaluates, claims, yields, has told."""
    peers, _ = asked(answer)
    assert peers.decide(BLIND) is decision
    assert peers.stage is (Stage.TOLD if decision is Decision.TELL else Stage.YIELDED)


def test_a_claim_that_comes_to_nothing_is_not_respected_for_long() -> None:
    """A watcher that hangs with its claim; whichever of the two has the first name."""
    first, clock = asked(Standing("w4", Stage.CLAIMED))
    begun = clock.now
    while first.decide(BLIND) is Decision.WAIT:
        clock.now += 1
    assert 9 <= clock.now - begun <= 11
    second, clock = asked(Standing("w9", Stage.CLAIMED))
    begun = clock.now
    assert second.decide(BLIND) is Decision.TELL
    assert 9 <= clock.now - begun <= 11


def test_who_had_told_and_is_gone_is_trusted_for_a_while() -> None:
    """Its page is open: it is not doubled at once, and ended by who is left."""
    answers: list[Standing | None] = [Standing("w9", Stage.TOLD)]
    clock = Clock()
    peers = Peers("w5", [lambda: answers[0]], monotonic=clock, sleep=clock.sleep)
    assert peers.decide(BLIND) is Decision.LEFT
    answers[0] = None
    clock.now += 290
    assert peers.decide(BLIND) is Decision.LEFT
    clock.now += 11
    assert peers.decide(BLIND) is Decision.TELL


def test_who_had_told_and_is_blind_no_more_pages_no_more() -> None:
    """It evaluates: all SLOs are looked after. When it is gone, the outage is ours."""
    answers: list[Standing | None] = [Standing("w9", Stage.TOLD)]
    peers = Peers("w5", [lambda: answers[0]])
    assert peers.decide(BLIND) is Decision.LEFT
    answers[0] = Standing("w9", Stage.NONE, 3.0)
    assert peers.decide(BLIND) is Decision.WAIT
    answers[0] = None
    assert peers.decide(BLIND) is Decision.TELL


@pytest.mark.parametrize(
    ("answer", "ours", "tell"),
    [
        (Standing("w9"), True, True),
        (Standing("w9"), False, False),
        (Standing("w5"), False, True),
        (None, False, True),
        (None, None, False),
    ],
)
def test_who_tells_that_it_is_over(answer: Standing | None, ours: bool | None, tell: bool) -> None:
    """Whoever had paged; another one if that one does not answer; nobody if nobody was paged."""
    assert asked(answer)[0].over(ours=ours) is tell
