"""Every part of the protocol is needed: a scenario for each, in which the protocol holds and does not hold without the part."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase

from telemetry.blocklog.model import Block, Head, Lease, Logged
from telemetry.blocklog.protocol import BlockLog
from tests.support.log_simulation import WINDOW, Replay, Request, Server
from tests.support.log_writers import World
from tests.unit.blocklog.test_protocol_machine import BlockLogMachine, hold


class NoGuard(Replay):
    """Blocks are written whatever the head is: the token alone is to stop a zombie."""

    def _ask(self, request: Request) -> object:
        return super()._ask(replace(request, guard=lambda _: True) if request.name == "write" else request)


class RetryGuard(Replay):
    """A block is written, too, when it is the head already: a retry after a long sleep."""

    def _ask(self, request: Request) -> object:
        held = request.guard

        def guard(server: Any) -> bool:
            head = server.head(request.partition)
            return held(server) or (head.number, head.writer) == (request.number, request.rows[0].writer)

        return super()._ask(replace(request, guard=guard) if request.name == "write" else request)


class NoLogToken(Replay):
    """The guard alone is to stop what is in flight."""

    def _ask(self, request: Request) -> object:
        if request.table == "log":
            request = replace(request, token=f"{request.token} {request.rows}")
        return super()._ask(request)


class NoDriveGuard(Replay):
    """A block may be driven at any time."""

    def _ask(self, request: Request) -> object:
        return super()._ask(replace(request, guard=lambda _: True) if request.name == "drive" else request)


class NoMemory(Replay):
    """A drive is repeated, or comes for the first time, however long ago the block was stored."""

    first, later = True, True

    def drive(self, partition: int, head: Head, table: str, *, again: bool) -> None:
        self._at_any_time = self.later if again else self.first
        super().drive(partition, head, table, again=again)

    def _ask(self, request: Request) -> object:
        def guard(server: Server) -> bool:
            head = server.head(request.partition)
            return head.number == request.number and f"/{head.writer}/" in request.token

        if request.name == "drive" and self._at_any_time:
            request = replace(request, guard=guard)
        return super()._ask(request)


class NoMemoryAtFirst(NoMemory):
    """The same, of first drives only."""

    later = False


class NoDriveToken(Replay):
    """Each process drives with a token of its own."""

    def _ask(self, request: Request) -> object:
        if request.name == "drive":
            request = replace(request, token=f"{request.token} {self.process}")
        return super()._ask(request)


class NoMendToken(Replay):
    """Each process mends with a token of its own."""

    def _ask(self, request: Request) -> object:
        if request.name == "mend":
            request = replace(request, token=f"{request.token} {self.process}")
        return super()._ask(request)


class OneMendToken(Replay):
    """What is mended again has the token that it had."""

    def mend(self, partition: int, head: Head, part: str, turn: int) -> None:
        super().mend(partition, head, part, min(turn, 0))


class NoMendGuard(Replay):
    """A part is mended without another look."""

    def _ask(self, request: Request) -> object:
        return super()._ask(replace(request, guard=lambda _: True) if request.name == "mend" else request)


class NoDoubt(Replay):
    """Who has driven a block without an error takes it for stored."""

    def logged(self, partition: int, number: int) -> Logged:
        return replace(super().logged(partition, number), doubtful=False)


class TokenOfTheNumber(Replay):
    """Tokens of numbers alone, which come again when the log has expired."""

    def _ask(self, request: Request) -> object:
        if request.table:
            request = replace(request, token=f"{request.partition}/{request.number}/{request.table}")
        return super()._ask(request)


class NoFence(BlockLog):
    """Who takes over goes on behind the head without a word."""

    def take_over(self, partition: int) -> Lease:
        head = self._tables.head(partition)
        self._drive(partition, head, again=True)
        return Lease(partition, head.writer or self._new_writer(), head.number + 1)


class NoDriveOfTheHead(BlockLog):
    """Who takes over leaves the last block as it is."""

    def _drive(self, partition: int, head: Head, *, again: bool) -> None:
        if head.writer in self._tried:
            super()._drive(partition, head, again=again)


class NoReadBack(BlockLog):
    """What was sent without an error is taken for stored."""

    def append(self, block: Block) -> None:
        self._tables.write(block, block.writer)
        self._drive(block.partition, Head(block.number, block.writer, block.feeds), again=False)


class NoMend(BlockLog):
    """What was driven again is taken to be in every table."""

    def _make_whole(self, partition: int, head: Head) -> None:
        assert head.number
        assert partition >= 0


class MendOnly(BlockLog):
    """What is missing is put there without driving the block again before."""

    def _drive(self, partition: int, head: Head, *, again: bool) -> None:
        if again and head.feeds:
            self._make_whole(partition, head)
        else:
            super()._drive(partition, head, again=again)


class OneName(BlockLog):
    """A process keeps its name over its take-overs."""

    def take_over(self, partition: int) -> Lease:
        tables = self._tables
        assert isinstance(tables, Replay)
        self._new_writer = lambda: tables.process
        return super().take_over(partition)


class FenceFirst(BlockLog):
    """The last block is driven after the fence instead of before it."""

    def take_over(self, partition: int) -> Lease:
        head = self._tables.head(partition)
        lease = super().take_over(partition)
        self._drive(partition, head, again=True)
        return lease

    def _drive(self, partition: int, head: Head, *, again: bool) -> None:
        if head.writer in self._tried or self._fenced(partition, head):
            super()._drive(partition, head, again=again)

    def _fenced(self, partition: int, head: Head) -> bool:
        return self._tables.head(partition).number > head.number


def zombie_after_the_window(world: World) -> None:
    """A sleeps with a block in its hands; its partition is taken over; when A wakes, nobody remembers any token."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a)
    world.until(a, "write")
    world.do(b)
    world.do(b)
    world.server.pass_blocks(2 * WINDOW)
    world.do(a)


def retry_after_the_window(world: World) -> None:
    """A block landed, the answer was lost, and the retry comes when nobody remembers its token."""
    a = world.new_writer(0)
    world.do(a)
    world.do(a, "answer lost")
    world.server.pass_blocks(2 * WINDOW)
    world.do(a)


def write_in_flight(world: World) -> None:
    """A block has passed its guard and lands after the fence."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "in flight")
    world.do(b)
    world.settle()
    world.do(b)


def late_drive(world: World) -> None:
    """A drive waits in the network until its block is long settled."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "waits")
    world.do(b)
    world.server.pass_blocks(2 * WINDOW)
    world.settle()


def drive_again_after_the_window(world: World) -> None:
    """A drive landed, the answer was lost, and it is repeated when nobody remembers its token."""
    a = world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "answer lost")
    world.server.pass_blocks(2 * WINDOW)
    world.do(a)


def take_over_after_the_window(world: World) -> None:
    """The same by a successor."""
    a = world.new_writer(0)
    world.do(a)
    world.do(a)
    world.server.pass_blocks(2 * WINDOW)
    world.do(world.new_writer(0))


def first_drive_after_the_window(world: World) -> None:
    """A sleeps before it drives; B drives, and dies before its fence; A wakes when nobody remembers that."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.until(a, "drive")
    world.until(b, "fence")
    world.server.pass_blocks(2 * WINDOW)
    world.do(a)


def two_drives(world: World) -> None:
    """The owner's drive is in flight while the successor drives."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "in flight")
    world.do(b)
    world.settle()


def cut_short(world: World) -> None:
    """The server fails between the table and its views, and the owner does not come back."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "cut short")
    world.do(b)
    world.do(b)


def logged_only(world: World) -> None:
    """The owner dies between the log and the drive."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.until(a, "drive")
    world.do(b)
    world.do(b)


def asleep_while_taken_over(world: World) -> None:
    """A finds out that it is no longer the owner only when it sends."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a)
    world.do(b)
    world.do(b)
    world.do(a)
    world.do(b)


def own_block_in_flight(world: World) -> None:
    """A loses the partition and gets it again while a block that it sent before is in flight: it lands before the fence."""
    a = world.new_writer(0)
    world.do(a)
    world.do(a, "in flight")
    world.lose(a)
    world.until(a, "fence")
    world.settle()
    world.do(a)
    world.do(a)
    world.do(a)


def numbers_begin_anew(world: World) -> None:
    """The log has expired and its numbers come again, while the table still remembers a drive of the first time."""
    a = world.new_writer(0)
    world.do(a)
    world.do(a)
    for _ in range(WINDOW + 1):
        world.do(world.new_writer(1))
    world.expire(0)
    b = world.new_writer(0)
    world.do(b)
    world.do(b)


def torn(world: World) -> None:
    """The server is killed when it knows a drive's token and has not the rows; the owner does not come back."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "torn later")
    world.do(b)
    world.do(b)


def torn_by_another(world: World) -> None:
    """It is killed at that place by the successor's drive, before the owner's, which is dropped for it; no successor comes."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.until(a, "drive")
    world.do(b, "torn")
    world.do(a)
    world.do(a)


def torn_again(world: World) -> None:
    """And again when it mends that."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "torn")
    world.do(b, "ok", "torn")
    world.do(b)
    world.do(b)


def two_menders(world: World) -> None:
    """A mends, which is in flight, while B mends, too."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "torn")
    world.do(a, "ok", "ok", "in flight")
    world.until(b, "fence")
    world.settle()


def late_mend(world: World) -> None:
    """A mends, which waits in the network until nobody remembers that B has mended."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "torn")
    world.do(a, "ok", "ok", "waits")
    world.until(b, "fence")
    world.server.pass_blocks(2 * WINDOW)
    world.settle()


def drive_after_a_kill(world: World) -> None:
    """A drive waits in the network while the server is killed, and arrives when another has seen that the rows are missing."""
    a, b = world.new_writer(0), world.new_writer(0)
    world.do(a)
    world.do(a, "ok", "waits")
    world.kill()
    world.until(b, "fence")
    world.settle()


SCENARIOS: dict[Callable[[World], None], tuple[type[Replay], type[BlockLog]]] = {
    zombie_after_the_window: (NoGuard, BlockLog),
    retry_after_the_window: (RetryGuard, BlockLog),
    write_in_flight: (NoLogToken, BlockLog),
    late_drive: (NoDriveGuard, BlockLog),
    drive_again_after_the_window: (NoMemory, BlockLog),
    take_over_after_the_window: (NoMemory, BlockLog),
    first_drive_after_the_window: (NoMemoryAtFirst, BlockLog),
    two_drives: (NoDriveToken, BlockLog),
    cut_short: (Replay, FenceFirst),
    logged_only: (Replay, NoDriveOfTheHead),
    asleep_while_taken_over: (Replay, NoReadBack),
    own_block_in_flight: (Replay, OneName),
    numbers_begin_anew: (TokenOfTheNumber, BlockLog),
    torn: (Replay, NoMend),
    torn_by_another: (NoDoubt, BlockLog),
    torn_again: (OneMendToken, BlockLog),
    two_menders: (NoMendToken, BlockLog),
    late_mend: (NoMendGuard, BlockLog),
    drive_after_a_kill: (Replay, MendOnly),
}
Scenario = Callable[[World], None]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_the_protocol_holds(scenario: Scenario) -> None:
    """In each of these."""
    world = World()
    scenario(world)
    world.check()
    world.rest(0, 1)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_without_one_part_it_does_not(scenario: Scenario) -> None:
    """The part that the scenario needs is taken out."""

    def run() -> None:
        world = World(*SCENARIOS[scenario])
        scenario(world)
        world.check()
        world.rest(0, 1)

    with pytest.raises(AssertionError, match=r"landed behind|has rows twice|misses Row|was never logged"):
        run()


def test_without_a_fence_it_does_not() -> None:
    """A's block and B's block have the same place, token and name: both take the one that is there for their own."""

    def run() -> None:
        world = World()
        a, b = world.new_writer(0), world.new_writer(0)
        b.log = NoFence(Replay([]))
        world.do(a)
        world.do(a)
        world.until(a, "write")
        world.do(b)
        world.do(b)
        world.do(a)
        world.check()

    with pytest.raises(AssertionError, match="was never logged"):
        run()


RARE = {two_menders, torn_again, late_mend, torn_by_another, first_drive_after_the_window}
"""What goes wrong only after several faults in one order: chance does not come upon it in so few tries."""


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one not in RARE], ids=lambda one: one.__name__)
def test_chance_finds_it_too(scenario: Scenario) -> None:
    """The machine that the protocol is tried with is worth something: it comes upon each part that is missing."""

    class Broken(BlockLogMachine):
        def new_world(self) -> World:
            return World(*SCENARIOS[scenario])

    with pytest.raises(AssertionError):
        hold(Broken, 2_000, phases=[Phase.generate])
