"""What one evaluation of the watcher reads, and how often: a few queries, however many SLOs and groups there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts import sight
from alerts.burnrate import Counts, Policy
from alerts.decide import Slot
from alerts.lint import FEWEST_BUCKETS
from alerts.sli_reads import Group, Windows, read_slots, read_windows
from alerts.slos.model import Alerting, Slo
from telemetry.store.base import Store

SLOTS_EVERY_SECONDS: Final = 60.0
SIGHT_EVERY_SECONDS: Final = 60.0
UNSETTLED_SECONDS: Final = 300.0
"""A new SLO's history is counted long before that: what has no data then is told."""
LONG_SECONDS: Final = 6 * 3600
"""Windows longer than this move slowly and cost most: they are read once a minute."""
LONG_EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Seen:
    """What was read.

    Attributes:
        windows: counts by group and window length.
        slots: newest slots with events by group, for the rule under the floor.
        blind: what cannot be seen; None if that was not looked at this time.
        freshness: what that was judged by.
    """

    windows: Windows
    slots: Mapping[Group, Sequence[Slot]]
    blind: Sequence[sight.Blind] | None
    freshness: sight.Freshness | None


class Observer:
    """Reads for a watcher. One thread."""

    def __init__(
        self,
        store: Store,
        slos: Mapping[str, Slo],
        policies: Mapping[str, Policy],
        policy: Policy,
        counters: sight.Counters | None,
        *,
        blindness: bool,
    ) -> None:
        self._store = store
        self._slos = list(slos.values())
        # Of rules that only tell of no data, too: they are in no policy.
        silent = {_quiet_seconds(slo, a, policy) for slo in self._slos for a in slo.alerting if a.when_no_data}
        self._windows = silent | {w for p in policies.values() for w in p.windows}
        self._policy = policy
        self._counters = counters
        self._blindness = blindness
        self._long: tuple[float, Windows] = (float("-inf"), {})
        self._slots: tuple[float, Mapping[Group, Sequence[Slot]]] = (float("-inf"), {})
        self._sight_at = float("-inf")
        self._began: float | None = None

    def observe(self, kept: Sequence[Group], now: float, *, settled: bool) -> Seen:
        """Read what is due.

        Args:
            kept: groups with alerts, which are read by themselves however small.
            now: seconds since the epoch.
            settled: whether the SLO views have counted all there is; before that, no SLI is called empty, nor (for minutes)
                without data.

        Raises:
            StoreError: ClickHouse refused it.
            UnavailableError: ClickHouse does not answer.
        """
        end = now - self._policy.delay_seconds
        counts = self._counts(kept, now, end)
        rule = self._policy.sustained
        if rule is not None and _is_due(self._slots[0], now, min(SLOTS_EVERY_SECONDS, rule.short_seconds / 2)):
            self._slots = (
                now,
                read_slots(self._store, [s for s in self._slos if not s.drill], rule, end, list(counts)),
            )
        if not self._blindness or not _is_due(self._sight_at, now, SIGHT_EVERY_SECONDS):
            return Seen(counts, self._slots[1], None, None)
        self._sight_at = now
        self._began = now if self._began is None else self._began
        quiet = self._no_data(counts) if settled or _is_due(self._began, now, UNSETTLED_SECONDS) else []
        fresh = sight.read_freshness(self._store, now)
        counted = self._counters(now - sight.COUNTED_SECONDS, now) if self._counters else None
        names = [s.name for s in self._slos if not s.drill] if settled else []
        doubted = (
            sight.doubts(self._store, self._counters, fresh, sight.doubtful(fresh, counted), now)
            if self._counters
            else {}
        )
        blind = [*sight.look(fresh, counted, now, doubted), *sight.empty_slis(names, {g.slo for g in counts}, fresh)]
        return Seen(counts, self._slots[1], [*blind, *quiet], fresh)

    def _counts(self, kept: Sequence[Group], now: float, end: float) -> Windows:
        long = {w for w in self._windows if w > LONG_SECONDS}
        if long and _is_due(self._long[0], now, LONG_EVERY_SECONDS):
            self._long = (now, read_windows(self._store, self._slos, long, end, kept))
        # The same groups by themselves as there, so that all windows of an alert are of one group.
        short = read_windows(self._store, self._slos, self._windows - long, end, [*kept, *self._long[1]])
        empty = {w: Counts() for w in self._windows}
        return {g: {**empty, **self._long[1].get(g, {}), **short.get(g, {})} for g in {**self._long[1], **short}}

    def _no_data(self, counts: Windows) -> list[sight.Blind]:
        """SLOs whose own alert policies ask to be told when there is no data (OpenSLO's ``alertWhenNoData``)."""
        found = []
        for slo in self._slos:
            for a in slo.alerting:
                seconds = _quiet_seconds(slo, a, self._policy)
                if a.when_no_data and all(c[seconds].empty for g, c in counts.items() if g.slo == slo.name):
                    text = f"no data for {seconds // 60} min"
                    found.append(sight.Blind("no-data", a.rule.severity, "", "", text, slo.name, a.targets))
        return found


def _quiet_seconds(slo: Slo, alerting: Alerting, policy: Policy) -> int:
    """How long without data is told: the rule's short window, if that is more than a bucket (a slice) which may just begin."""
    return max(alerting.rule.short_seconds, FEWEST_BUCKETS * max(policy.resolution_seconds, slo.slice_seconds))


def _is_due(last: float, now: float, every_seconds: float) -> bool:
    """Whether it is time again; also when the clock was set back, which must not put it off by as much."""
    return not 0 <= now - last < every_seconds
