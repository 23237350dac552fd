"""What every loop from a feed to a log of blocks does: go on in trouble, put bad records aside, commit what has landed."""

import logging
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from telemetry.errors import EdgepathError
from telemetry.feeds.base import Feed, Record
from telemetry.redaction import redact_text

_log = logging.getLogger(__name__)
_TROUBLED_SECONDS = 1.0
_LONGEST_REST = 30.0
_MOST_DOUBLED = 10  # enough for the longest rest; a float has no room for a thousand
_CALM_SECONDS = 60.0
"""So long after the last error that nobody thought of, all is taken to be well again. More than the longest rest."""
_RECORD_BYTES = 256  # of an object, besides its value


@contextmanager
def beginning(partition: int) -> Iterator[None]:
    """What fails inside is told as what keeps ``partition`` from being begun."""
    try:
        yield
    except EdgepathError as error:
        error.add_note(f"partition {partition} cannot be begun")
        raise


class Loop(ABC):
    """Moves records of one feed into one log. :meth:`step` and :meth:`run` belong to one thread."""

    def __init__(self, feed: Feed, scrub: Callable[[bytes], bytes]) -> None:
        """Read ``feed``; ``scrub`` takes out of a bad record what may not be kept of it."""
        self._feed = feed
        self._scrub = scrub
        self._committed: dict[int, int] = {}
        self._to_commit: dict[int, int] = {}
        self._rejected: deque[tuple[Record, str]] = deque()
        self._trouble = ""
        self._rounds = 0
        self._falls = 0  # errors that nobody thought of, since all was well
        self._fell_at = 0.0

    @abstractmethod
    def step(self) -> int:
        """One round; returns how many records came in.

        Raises:
            EdgepathError: something cannot be reached; nothing is lost, the next round tries again.
        """

    def run(self, stop: threading.Event) -> None:
        """Step until ``stop`` is set. What cannot be reached is tried again; nothing ends the loop but ``stop``.

        After an error that nobody thought of nobody knows how much of a round was done: all is forgotten and read again, as
        after a restart. While such errors come again and again no round counts, so that the probe of life fails in the end.
        """
        while not stop.is_set():
            try:
                self.step()
                self._well()
            except EdgepathError as error:
                if not self._trouble:
                    _log.error("the pipeline waits: %s", error)
                self._trouble = ": ".join([*getattr(error, "__notes__", ()), redact_text(str(error))])
                stop.wait(_TROUBLED_SECONDS)
            except Exception as error:  # noqa: BLE001 - records must go on
                self._fell(error)
                self._begin_anew()  # before anything else: of what is half done nothing may be stored or committed
                stop.wait(min(2.0 ** min(self._falls - 1, _MOST_DOUBLED) * _TROUBLED_SECONDS, _LONGEST_REST))

    def _well(self) -> None:
        if self._falls and time.monotonic() - self._fell_at > _CALM_SECONDS:
            self._falls = 0
        if not self._falls:
            self._trouble = ""

    def _fell(self, error: Exception) -> None:
        said = redact_text("".join(traceback.format_exception(error)))  # it may quote what was sent
        _log.error("the loop met an error that it does not know, and begins anew: %s", said)
        self._trouble = redact_text(f"a defect of Edgepath: {type(error).__name__}: {error}")
        self._falls += 1
        self._fell_at = time.monotonic()

    def _begin_anew(self) -> None:
        """Forget all that is held of every partition, and read on where it is committed."""
        for partition in {*self._committed, *self._feed.assigned()}:
            self._forget(partition)
            self._feed.reread(partition)

    @abstractmethod
    def _forget(self, partition: int) -> None:
        """Drop what is held of a partition: it is not ours any more, or is read again."""

    @abstractmethod
    def _follow_assignment(self) -> None:
        """Take over the partitions that are new here, forget those that are not ours any more. Raises as :meth:`step` does."""

    def _begin_round(self) -> None:
        if not self._falls:
            self._rounds += 1
        try:
            self._follow_assignment()
        except EdgepathError:
            # A member that falls silent loses its partitions, and the next one would fare no better.
            self._feed.poll_batches(0.0, 0)
            raise

    @property
    def _rejected_bytes(self) -> int:
        """What the bad records take that are not put aside yet: where that cannot be done, they must not fill the memory."""
        return sum(len(record.value) + _RECORD_BYTES for record, _ in self._rejected)

    def _put_aside(self) -> None:
        """Hand the bad records back; one that cannot be put aside now waits, and its offset is not committed before."""
        while self._rejected:
            record, reason = self._rejected[0]
            reason = redact_text(reason)
            self._feed.reject(replace(record, value=self._scrub(record.value)), reason)
            _log.error("a record that cannot be decoded was put aside: %s", reason)
            self._rejected.popleft()

    def _stored(self, partition: int, resume_offset: int) -> None:
        """Everything of a partition below an offset is stored: to be committed."""
        if resume_offset > self._committed.get(partition, 0):
            self._to_commit[partition] = resume_offset

    def _commit(self) -> None:
        if self._rejected or not self._to_commit:
            return
        self._feed.commit(self._to_commit)
        # A group that is rebalancing takes no offsets, and a partition that is idle from now on has no other ones to come.
        stands = self._feed.assigned()
        done = {p: offset for p, offset in self._to_commit.items() if stands.get(p, 0) >= offset}
        self._committed.update(done)
        self._to_commit = {p: offset for p, offset in self._to_commit.items() if p in stands and p not in done}

    def _forget_offsets(self, partition: int) -> None:
        """A partition is no longer ours."""
        self._committed.pop(partition, None)
        self._to_commit.pop(partition, None)
        self._rejected = deque(r for r in self._rejected if r[0].partition != partition)
