"""The protocol against everything that can go wrong, in any order (Hypothesis), on simulated tables."""

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.support.log_simulation import STALE, WINDOW
from tests.support.log_writers import ANSWERS, World, Writer

PARTITIONS, WRITERS = 2, 4
EXPIRATIONS = 3
"""How often a log may expire: numbers with spent tokens are passed over one by one, and who takes over tries only so many."""


class BlockLogMachine(RuleBasedStateMachine):
    """Four processes and two partitions; several processes may believe that they have the same one."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.new_world()
        self.expirations = 0
        self.writers = [self.world.new_writer(n % PARTITIONS) for n in range(WRITERS)]

    def new_world(self) -> World:
        """The world to be tested; mutations replace it."""
        return World()

    @rule(
        who=st.integers(0, WRITERS - 1),
        feeds=st.sampled_from([("request_paths",), ("request_paths", "late_spans"), ("late_spans",)]),
        how=st.lists(st.sampled_from(["ok", "ok", "ok", "ok", *ANSWERS]), min_size=1, max_size=8),
    )
    def act(self, who: int, feeds: tuple[str, ...], how: list[str]) -> None:
        """A process that is idle begins to take over or to append; some of what it asks for is answered, then it sleeps."""
        writer = self.writers[who]
        if not writer.busy:
            self.world.begin(writer, *feeds)
        for answer in how:
            if writer.busy and self.world.pending(writer) is not None:
                self.world.answer(writer, answer)

    @rule(who=st.integers(0, WRITERS - 1))
    def finish(self, who: int) -> None:
        """What a process does goes well to its end, and so does what it does next."""
        for _ in range(2):
            self.world.do(self.writers[who])

    @rule(who=st.integers(0, WRITERS - 1), trouble=st.sampled_from(["crash", "lose", "kill"]))
    def suffer(self, who: int, trouble: str) -> None:
        """A process crashes: its memory is gone, what it has sent is not. Or its partition is taken away; it may come back. Or
        the server is killed while it works on what is in flight."""
        if trouble == "kill":
            self.world.kill()
        elif trouble == "lose":
            self.world.lose(self.writers[who])
        else:
            self.writers[who] = self.world.new_writer(self.writers[who].partition)

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def land(self, data: st.DataObject) -> None:
        """A statement that has started comes one table further."""
        flying = self.world.flying
        statement = flying[data.draw(st.integers(0, len(flying) - 1))]
        if not self.world.server.land(statement):
            flying.remove(statement)

    @precondition(lambda self: self.world.waiting)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """A request that waited in the network reaches the server."""
        waiting = self.world.waiting
        request = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        if statement := self.world.server.start(request):
            self.world.flying.append(statement)

    @rule(count=st.sampled_from([1, STALE, WINDOW, 2 * WINDOW]))
    def others_write(self, count: int) -> None:
        """Other partitions' blocks push tokens out of the windows."""
        self.world.server.pass_blocks(count)

    @precondition(lambda self: not self.world.flying and self.expirations < EXPIRATIONS)
    @rule(partition=st.integers(0, PARTITIONS - 1))
    def expire(self, partition: int) -> None:
        """Nobody wrote for longer than the log keeps its rows. (A block that nobody drove in all that time is lost; here, it is
        driven: somebody took over within these days.)"""
        self.expirations += 1
        world = self.world
        last = world.new_writer(partition)
        world.begin(last)
        world.finish(last)
        world.expire(partition)

    @invariant()
    def holds(self) -> None:
        """Nothing twice, nothing lost, one writer a block."""
        self.world.check()

    def teardown(self) -> None:
        """All comes to rest, a new process takes each partition over, and the tables follow the log."""
        self.world.rest(*range(PARTITIONS))


def hold(
    machine: type[RuleBasedStateMachine], examples: int, steps: int = 40, phases: Sequence[Phase] = tuple(Phase)
) -> None:
    """Run a machine over so many examples."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
            phases=phases,
        ),
    )


def test_every_acknowledged_block_is_stored_once() -> None:
    """And what is not acknowledged either wholly or not at all, whatever crashes, sleeps, wakes, is lost or comes late."""
    hold(BlockLogMachine, 300)


def test_a_writer_is_a_writer() -> None:
    """The machine's own parts: a plain take-over and two blocks."""
    world = World()
    writer: Writer = world.new_writer(0)
    for feeds in ((), ("request_paths",), ("late_spans", "request_paths")):
        world.begin(writer, *feeds)
        world.finish(writer)
        world.check()
    assert writer.lease is not None
    assert writer.lease.next_number == 4
    assert sorted(world.acknowledged.values()) == ["late_spans", "request_paths", "request_paths"]
    assert {name: len(table.rows) for name, table in world.server.tables.items()} == {
        "late_spans": 1,
        "request_paths": 2,
        "hop_1m": 2,
        "path_1m": 2,
    }
