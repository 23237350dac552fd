"""Blocks on their way to the log: in order for each partition, several partitions at once, as often as it takes."""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from telemetry.blocklog.model import Block
from telemetry.errors import EdgepathError, FencedError
from telemetry.observe.model import Timings

_log = logging.getLogger(__name__)
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 15.0


class Sending(Protocol):
    """What one partition has to store: a block, if there is one, and what may be committed once it has landed."""

    @property
    def partition(self) -> int:
        """The partition."""
        ...

    @property
    def block(self) -> Block | None:
        """To be appended to the log; None if there is nothing to store."""
        ...

    @property
    def resume_offset(self) -> int:
        """To be committed once the block has landed."""
        ...


_S = TypeVar("_S", bound=Sending)


@dataclass(slots=True)
class _Lane(Generic[_S]):
    """One partition's batches, the first one perhaps under way."""

    waiting: deque[_S] = field(default_factory=deque)
    under_way: "Future[float] | None" = None
    next_try: float = 0.0
    wait: float = _FIRST_WAIT


class Outbox(Generic[_S]):
    """Frozen batches that have not landed yet. Used by one thread; the sending is done by others.

    Attributes:
        landed_blocks: blocks stored since the start.
        failures: refused or unanswered attempts since the start.
        trouble: why the last attempt failed; empty while all is well.
    """

    def __init__(self, append: Callable[[Block], None], timings: Timings, *, senders: int) -> None:
        """Send with ``append`` (of :class:`telemetry.blocklog.protocol.BlockLog`), so many at once; 0 sends itself."""
        self._append = append
        self._timings = timings
        self._lanes: dict[int, _Lane[_S]] = {}
        self._executor: Executor = ThreadPoolExecutor(senders, "edgepath-send") if senders else _AtOnce()
        self._most_under_way = max(1, senders)
        self.landed_blocks = 0
        self.failures = 0
        self.trouble = ""

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    @property
    def waiting_bytes(self) -> int:
        """How large the blocks are that have not landed."""
        return sum(len(each.block.arrow) for lane in self._lanes.values() for each in lane.waiting if each.block)

    def waiting(self, partition: int) -> int:
        """How many batches of a partition have not landed."""
        return len(self._lanes[partition].waiting) if partition in self._lanes else 0

    def last_resume_offset(self, partition: int) -> int:
        """What will be committed of a partition once everything has landed; -1 if nothing waits."""
        lane = self._lanes.get(partition)
        return lane.waiting[-1].resume_offset if lane and lane.waiting else -1

    def add(self, batch: _S) -> None:
        """Send ``batch`` when its turn comes."""
        self._lanes.setdefault(batch.partition, _Lane[_S]()).waiting.append(batch)

    def forget(self, partition: int) -> None:
        """Drop what waits for a partition that is no longer ours: its next owner makes it again.

        What is under way may still land, or be fenced off; nobody hears of it.
        """
        self._lanes.pop(partition, None)

    def send(self, now: float, landed: Callable[[_S], None], lost: Callable[[int], None]) -> None:
        """See what has become of what was under way, and send what can be sent.

        Args:
            now: seconds of a monotonic clock.
            landed: called for each batch that has landed, in order.
            lost: called with a partition that another writer has taken over; what waits for it is dropped.
        """
        for partition in list(self._lanes):
            while self._see(partition, now, landed, lost):
                pass

    def settle(self, timeout_seconds: float) -> None:
        """Wait for what is under way, for so long at most; if nothing is, but something waits for its next try, for so long."""
        deadline = time.monotonic() + timeout_seconds
        under_way = [lane.under_way for lane in self._lanes.values() if lane.under_way is not None]
        if not under_way and len(self):
            time.sleep(timeout_seconds)
        for each in under_way:
            try:
                each.exception(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return

    def close(self) -> None:
        """Send nothing more. What is under way is left to itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _see(  # noqa: PLR0911 - each return is one thing that can be seen
        self, partition: int, now: float, landed: Callable[[_S], None], lost: Callable[[int], None]
    ) -> bool:
        """One step of one partition; whether there may be another one now."""
        lane = self._lanes.get(partition)
        if lane is None or not lane.waiting:
            return False
        batch = lane.waiting[0]
        if batch.block is None:
            lane.waiting.popleft()
            landed(batch)
            return True
        if lane.under_way is None:
            if now < lane.next_try or self._under_way() >= self._most_under_way:
                return False
            lane.under_way = self._executor.submit(self._timed, batch.block)
        if not lane.under_way.done():
            return False
        done, lane.under_way = lane.under_way, None
        try:
            self._timings.stored(done.result(), batch.block.rows)
        except FencedError as error:
            _log.warning("%s", error)
            self._lanes.pop(partition)
            lost(partition)
            return False
        except EdgepathError as error:
            self._failed(lane, error, now)
            return False
        if self.trouble:
            _log.warning("the store takes blocks again")
        self.trouble, lane.wait = "", _FIRST_WAIT
        self.landed_blocks += 1
        lane.waiting.popleft()
        landed(batch)
        return True

    def _under_way(self) -> int:
        return sum(lane.under_way is not None for lane in self._lanes.values())

    def _timed(self, block: Block) -> float:
        begun = time.monotonic()
        self._append(block)
        return time.monotonic() - begun

    def _failed(self, lane: _Lane[_S], error: Exception, now: float) -> None:
        self.failures += 1
        if not self.trouble:
            _log.error("a block cannot be stored, and is tried again until it is: %s", error)
        self.trouble = str(error)
        lane.next_try = now + lane.wait
        lane.wait = min(2 * lane.wait, _LONGEST_WAIT)


class _AtOnce(Executor):
    """Does what it is given before it answers."""

    def submit(self, fn: Callable[..., float], /, *args: object, **kwargs: object) -> "Future[float]":  # type: ignore[override]
        """As ``Executor.submit``."""
        future: Future[float] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed on to who asks for the result
            future.set_exception(error)
        return future
