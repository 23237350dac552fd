"""OpenSLO notification targets: which of them are told of what, through a whole watcher."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from alerts.burnrate import Policy, Rule, Sustained
from alerts.notify import Settled
from alerts.page import PageEvent
from alerts.slos.model import Alerting
from alerts.watch import Watcher
from telemetry.app.settings import UpSettings
from telemetry.app.up import Up
from telemetry.errors import ConfigurationError
from tests.unit.alerts.alerts_support import T0, FakeStore, make_policy, make_slo, write
from tests.unit.alerts.test_openslo_objects import ALL

FAST = Rule("page", 60, 10, Decimal("14.4"))


class Target:
    """A receiver that takes all that names it; of everything without a name."""

    def __init__(self, only: str = "") -> None:
        self.name = only or "general"
        self.events: list[PageEvent] = []
        self.told: list[tuple[str, str]] = []
        self.at: list[float] = []
        self._only = only
        self._done: list[Settled] = []

    def wants(self, event: PageEvent) -> bool:
        """What names it."""
        return self._only in event.targets if self._only else not event.addressed

    def notify(self, event: PageEvent) -> None:
        """Take it."""
        self.events.append(event)
        self.told.append((event.kind, event.cause))
        self.at.append(event.at)
        self._done.append(Settled(event.id))

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:
        """It forgets nothing."""

    def settled(self) -> Sequence[Settled]:
        """All that was told."""
        done, self._done = self._done, []
        return done

    def close(self, timeout_seconds: float) -> None:
        """Nothing to do."""


def watch(policy: Policy, alerting: Sequence[Alerting], bad: dict[range, int], targets: Sequence[Target]) -> None:
    """Evaluate each second of the ranges' whole time; 50 requests a second, so many of them ``bad``."""
    store = FakeStore()
    watcher = Watcher(store, [make_slo(alerting=tuple(alerting))], policy, targets, sync_views=False)
    for second in range(max(r.stop for r in bad)):
        failed = next((n for r, n in bad.items() if second in r), 0)
        store.add(T0 + second, 50 - failed, failed)
        watcher.evaluate(T0 + second)


def test_a_policy_may_leave_out_the_end() -> None:
    """``alertWhenResolved: false``."""
    oncall, general = Target("oncall"), Target()
    quiet = Alerting("p", FAST, ("oncall",), when_resolved=False)
    watch(make_policy(min_bad_events=Decimal(0)), [quiet], {range(50, 80): 50, range(80, 300): 0}, [oncall, general])
    assert oncall.told == [("trigger", "burn-rate")]
    assert general.told == [("trigger", "burn-rate"), ("resolve", "burn-rate")]


def test_a_target_that_a_later_rule_names_is_told_then() -> None:
    """A slow burn wakes the chat; when all fails, the pager is called, and nobody else once more. All hear of the end."""
    chat, pager, general = Target("chat"), Target("pager"), Target()
    alerting = [
        Alerting("slow", Rule("page", 120, 20, Decimal(6)), ("chat",)),
        Alerting("fast", Rule("page", 60, 10, Decimal(300)), ("pager",)),
    ]
    bad = {range(130): 0, range(130, 200): 1, range(200, 330): 50, range(330, 700): 0}
    watch(make_policy(min_bad_events=Decimal(0)), alerting, bad, [chat, pager, general])
    assert chat.told == pager.told == general.told == [("trigger", "burn-rate"), ("resolve", "burn-rate")]
    assert pager.at[0] > chat.at[0] == general.at[0]


def test_failure_under_the_floor_is_for_all_targets_of_its_severity() -> None:
    """No policy of the SLO's own says anything of it; as in Grafana's rules."""
    policy = replace(
        make_policy(min_bad_events=Decimal(10), min_bad_paths=5),
        sustained=Sustained("page", 3600, 60, 4, Decimal("0.5")),
    )
    slow = Rule("ticket", 120, 20, Decimal(6))
    oncall, chat, general = Target("oncall"), Target("chat"), Target()
    store = FakeStore()
    slo = make_slo(alerting=(Alerting("p", FAST, ("oncall",)), Alerting("t", slow, ("chat",))))
    watcher = Watcher(store, [slo], policy, [oncall, chat, general], sync_views=False)
    for second in range(900):
        if second % 60 == 7:
            store.add(T0 + second, 0, 1)
        watcher.evaluate(T0 + second)
    assert oncall.told == general.told == [("trigger", "sustained")]
    assert chat.told == []


def test_everything_in_one_process_tells_them_too(tmp_path: Path) -> None:
    """``edgepath up`` wants to know where they are, as ``edgepath watch`` does."""
    file = write(tmp_path / "all.yaml", "---\n".join(ALL))
    with pytest.raises(ConfigurationError, match="the notification target on-call is to be found in PAGERDUTY_KEY"):
        Up(UpSettings(tmp_path / "data", slos=(file,)))
