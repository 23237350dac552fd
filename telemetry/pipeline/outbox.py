"""Batches on their way to the store: in order for each partition, as often as it takes, never dropped."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from telemetry.blocklog.protocol import BlockLog
from telemetry.engine.engine import Batch
from telemetry.errors import FencedError, StoreError, UnavailableError

_log = logging.getLogger(__name__)
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 15.0


@dataclass(slots=True)
class Outbox:
    """Frozen batches that have not landed yet.

    Attributes:
        landed_blocks: blocks stored since the start.
        failures: refused or unanswered attempts since the start.
        trouble: why the last attempt failed; empty while all is well.
    """

    log: BlockLog
    waiting: deque[Batch] = field(default_factory=deque)
    landed_blocks: int = 0
    failures: int = 0
    trouble: str = ""
    _next_try: float = 0.0
    _wait: float = _FIRST_WAIT

    def add(self, batch: Batch) -> None:
        """Send ``batch`` when its turn comes."""
        self.waiting.append(batch)

    def forget(self, partition: int) -> None:
        """Drop what waits for a partition that is no longer ours: its next owner makes it again."""
        self.waiting = deque(b for b in self.waiting if b.partition != partition)

    def send(self, now: float, landed: Callable[[Batch], None], lost: Callable[[int], None]) -> None:
        """Store what waits; ``landed`` is called for each batch once its block is stored.

        Args:
            now: seconds of a monotonic clock.
            landed: commits the batch's offset.
            lost: forgets a partition that another writer has taken over, and what waits for it.
        """
        while self.waiting and now >= self._next_try:
            batch = self.waiting[0]
            try:
                for block in batch.blocks:
                    self.log.append(block)
                    self.landed_blocks += 1
            except FencedError as error:
                _log.warning("%s", error)
                lost(batch.partition)
                continue
            except (UnavailableError, StoreError) as error:
                self._failed(error, now)
                return
            if self.trouble:
                _log.warning("the store takes blocks again")
            self.trouble, self._wait = "", _FIRST_WAIT
            self.waiting.popleft()
            landed(batch)

    def _failed(self, error: Exception, now: float) -> None:
        self.failures += 1
        if not self.trouble:
            _log.error("a block cannot be stored, and is tried again until it is: %s", error)
        self.trouble = str(error)
        self._next_try = now + self._wait
        self._wait = min(2 * self._wait, _LONGEST_WAIT)
