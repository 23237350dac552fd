"""Whether the process is alive, and whether it does its work: pure judgements of a snapshot."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from telemetry.observe.model import Look, Snapshot


@dataclass(frozen=True)
class Judgement:
    """An answer to a probe.

    Attributes:
        well: whether all is.
        reasons: why not, a line each.
    """

    well: bool
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Health:
    """Judges snapshots.

    *Alive* is for whoever restarts a process: it must hold while ClickHouse or Kafka are away, for a restart mends neither.
    *Ready* is for whoever wants to know whether work gets done.

    Attributes:
        stalled_seconds: the loop is taken for dead when no round began for so long.
        monotonic: the clock of ``Snapshot.round_at``.
    """

    stalled_seconds: float = 120.0
    monotonic: Callable[[], float] = time.monotonic

    def alive(self, snapshot: Snapshot) -> Judgement:
        """Whether the loop goes round."""
        age = self.monotonic() - snapshot.round_at
        if age > self.stalled_seconds:
            return Judgement(False, (f"the loop has not begun a round for {age:.0f} s",))
        return Judgement(True)

    def ready(self, snapshot: Snapshot) -> Judgement:
        """Whether it is alive, a member of its group, and waits for nothing."""
        reasons = list(self.alive(snapshot).reasons)
        if not snapshot.joined:
            reasons.append("it has not joined its consumer group yet")
        reasons += snapshot.troubles
        return Judgement(not reasons, tuple(reasons))


def pages(look: Look, health: Health) -> dict[str, Callable[[], tuple[bool, Mapping[str, Any]]]]:
    """The probes of a consumer, by their paths."""

    def alive() -> tuple[bool, Mapping[str, Any]]:
        judgement = health.alive(look())
        return judgement.well, {"reasons": list(judgement.reasons)}

    def ready() -> tuple[bool, Mapping[str, Any]]:
        now = look()
        judgement = health.ready(now)
        return judgement.well, {
            "reasons": list(judgement.reasons),
            "partitions": len(now.lag),
            "lag": sum(lag.records for lag in now.lag),
            "paused": now.paused,
            "warnings": list(now.warnings),
        }

    return {"/healthz": alive, "/readyz": ready}
