"""Consumers that are broken on purpose: each must be found out by the scenario that it names. Else that one proves nothing.

There is none without the fence: the guard and the read-back alone keep a block from being stored twice. What the fence adds is
that late statements come to nothing at once, and not only when the successor has written a block of its own.

Every function here undoes one part of the protocol (docs/exactly-once.md) in the process that calls it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from telemetry.blocklog import logs
from telemetry.blocklog.model import Block, Head, Lease
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.errors import StoreError, UnavailableError
from telemetry.feeds.kafka import KafkaFeed
from telemetry.pipeline import metrics, pipeline
from telemetry.pipeline.outbox import Outbox
from telemetry.pipeline.past import StoredPast
from telemetry.store.server import ServerStore


@dataclass(frozen=True)
class Mutant:
    """A way to be broken.

    Attributes:
        about: what is missing.
        apply: breaks it.
        caught_by: the scenario that must find it out.
    """

    about: str
    apply: Callable[[], None]
    caught_by: str


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def trust_window(blocks: int) -> None:
    """Believe that deduplication windows remember a token for so many later blocks."""
    # Constants to everybody else (misc) and not the loops' own names (attr-defined): this process is to believe otherwise.
    logs.PATHS = pipeline.PATHS = dataclasses.replace(logs.PATHS, stale_blocks=blocks)  # type: ignore[misc,attr-defined]
    logs.METRICS = metrics.METRICS = dataclasses.replace(logs.METRICS, stale_blocks=blocks)  # type: ignore[misc,attr-defined]


def commit_first() -> None:
    """Offsets are committed when a block is made, not when it has landed."""

    def make(send: Any) -> Any:
        def sending(self: Outbox[Any], now: float, landed: Any, lost: Any) -> None:
            for lane in self._lanes.values():
                for batch in lane.waiting:
                    landed(dataclasses.replace(batch, block=None))
            send(self, now, landed, lost)

        return sending

    _replace(Outbox, "send", make)


def no_token() -> None:
    """Nothing is deduplicated."""

    def make(settings: Any) -> Any:
        def without(self: ServerStore, token: str) -> dict[str, str]:
            kept = {name: value for name, value in settings(self, token).items() if "dedupl" not in name}
            return {**kept, "insert_deduplicate": "0", "deduplicate_blocks_in_dependent_materialized_views": "0"}

        return without

    _replace(ServerStore, "_settings", make)


def no_guard() -> None:
    """A block is written whatever the head of the log is."""
    _replace(SqlLogTables, "_guard", lambda guard: lambda *args: ("1", guard(*args)[1]))


def no_read_back() -> None:
    """Nobody looks who has written a block."""

    def append(self: BlockLog, block: Block) -> None:
        self._tables.write(block, block.writer)
        self._drive(block.partition, Head(block.number, block.writer, block.feeds), again=False)

    _replace(BlockLog, "append", lambda _: append)


def no_drive() -> None:
    """A partition is taken over without driving its last block again."""

    def make(take_over: Any) -> Any:
        def without(self: BlockLog, partition: int) -> Lease:
            drive, self._drive = self._drive, lambda *_, **__: None  # type: ignore[method-assign]
            try:
                lease: Lease = take_over(self, partition)
                return lease
            finally:
                self._drive = drive  # type: ignore[method-assign]

        return without

    _replace(BlockLog, "take_over", make)


def no_memory() -> None:
    """A partition is taken over without asking what was emitted."""
    _replace(StoredPast, "emitted", lambda _: lambda *_: [])


def no_retry() -> None:
    """A block whose insert failed is taken as stored."""

    def make(append: Any) -> Any:
        def once(self: BlockLog, block: Block) -> None:
            try:
                append(self, block)
            except (StoreError, UnavailableError):
                return

        return once

    _replace(BlockLog, "append", make)


def endless_trust() -> None:
    """Tokens count as remembered for ever."""
    trust_window(1_000_000_000)


def no_dead_letters() -> None:
    """Bad messages are dropped."""
    _replace(KafkaFeed, "reject", lambda _: lambda *_: None)


MUTANTS: Final[Mapping[str, Mutant]] = {
    "commit-first": Mutant("offsets are committed before blocks are stored", commit_first, "kill"),
    "no-token": Mutant("nothing is deduplicated", no_token, "answer-lost"),
    "no-guard": Mutant("blocks are written whatever the head is", no_guard, "late-statement"),
    "no-read-back": Mutant("nobody looks who wrote a block", no_read_back, "usurped"),
    "no-drive": Mutant("take-over without driving the last block", no_drive, "kill"),
    "no-memory": Mutant("take-over forgets what was emitted", no_memory, "kill"),
    "no-retry": Mutant("a block whose insert failed is taken as stored", no_retry, "clickhouse-kill"),
    "endless-trust": Mutant("a window is trusted for ever", endless_trust, "cut-off"),
    "no-dead-letters": Mutant("bad messages are dropped", no_dead_letters, "poison"),
}
