"""An SLO as the rest of Edgepath uses it."""

from dataclasses import dataclass
from decimal import Decimal

from alerts.filters import Filter, to_sql
from alerts.filters.columns import COLUMNS
from alerts.filters.syntax import And, Not, columns_of


@dataclass(frozen=True)
class Slo:
    """One objective over request paths.

    Attributes:
        name: unique; lower-case letters, digits and ``-``.
        display_name, description: for people; may be empty.
        service: whose SLO it is.
        objective: ratio of good events promised, between 0 and 1, both excluded.
        period_seconds: rolling window of the objective.
        total: which paths count.
        good: which of those are good; only looked at where ``total`` holds.
        group_by: column that splits the SLO (besides environment), empty if none.
        runbook: where to read on when it pages; may be empty.
        file: where it was read from.
    """

    name: str
    display_name: str
    description: str
    service: str
    objective: Decimal
    period_seconds: int
    total: Filter
    good: Filter
    group_by: str
    runbook: str
    file: str

    @property
    def good_filter(self) -> Filter:
        """Paths that count and are good."""
        return And((self.total, self.good))

    @property
    def bad_filter(self) -> Filter:
        """Paths that count and are not good."""
        return And((self.total, Not(self.good)))

    @property
    def bad_noun(self) -> str:
        """What a bad event is called in a message."""
        return "slow" if any(COLUMNS[c].kind == "duration" for c in columns_of(self.good)) else "errors"

    def bad_sql(self, table: str = "p") -> str:
        """Condition for bad paths over the alias ``table`` of ``request_paths``."""
        return to_sql(self.bad_filter, table)
