"""How much of every SLO's error budget is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alerts.burnrate import Counts, Policy, budget_left, burn_rate, exhausted_in
from alerts.sli_reads import Group, periods, read_periods, read_windows
from alerts.slos.model import Slo
from telemetry.store.base import Store

HOUR = 3600


@dataclass(frozen=True)
class BudgetStatus:
    """One group of an SLO over its period.

    Attributes:
        slo, environment, dimension, value: the group; empty but for ``slo`` if there is no data at all.
        objective, period_seconds: what was promised.
        slice_seconds: length of the slices that are the events; 0 if requests are.
        good, total: events over the period, weighted: requests, or slices.
        sli: share of good events, None without events.
        budget_left: share of the budget left: 1 all, 0 none, negative when overspent; None without events.
        burn_1h: burn rate over the last hour, None without events in it.
        exhausted_in: seconds until the budget is gone at that rate; 0 if it is, None if it lasts or nothing is known.
        state, action: of the error-budget policy; empty without one.
    """

    slo: str
    environment: str
    dimension: str
    value: str
    objective: str
    period_seconds: int
    good: float
    total: float
    sli: float | None
    budget_left: float | None
    burn_1h: float | None
    exhausted_in: float | None = None
    state: str = ""
    action: str = ""
    slice_seconds: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return dict(self.__dict__)


def status(store: Store, slos: Sequence[Slo], now: float, policy: Policy | None = None) -> list[BudgetStatus]:
    """The budgets of every group of every SLO, in order; an SLO without data has one line that says so.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    counts = {group: whole for group, whole in read_periods(store, slos, now).items() if not whole.empty}
    hours = read_windows(store, slos, {HOUR}, now, list(counts))  # of the same groups by themselves
    known = periods(store, slos, now)
    lines = []
    for slo in slos:
        groups = sorted(g for g in counts if g.slo == slo.name)
        for group in groups or [Group(slo.name, "", slo.group_by, "")]:
            whole, hour = counts.get(group, Counts()), hours.get(group, {}).get(HOUR, Counts())
            left = budget_left(whole, slo.objective, known[slo.name].covered)
            burn = burn_rate(hour, slo.objective)
            state = policy.budget_state(left) if policy else None
            lines.append(
                BudgetStatus(
                    slo=slo.name,
                    environment=group.environment,
                    dimension=slo.group_by,
                    value=group.value,
                    objective=f"{slo.objective.normalize():f}",
                    period_seconds=slo.period_seconds,
                    good=whole.good,
                    total=whole.total,
                    sli=None if whole.empty else 1 - whole.bad_ratio,
                    budget_left=left,
                    burn_1h=burn,
                    exhausted_in=exhausted_in(left, burn, slo.period_seconds),
                    state=state.name if state else "",
                    action=state.action if state else "",
                    slice_seconds=slo.slice_seconds,
                )
            )
    return lines
