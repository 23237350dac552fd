"""Tiers: the places on the way, in the order in which a request meets them."""

import fnmatch
from dataclasses import dataclass, field

from telemetry.vocabulary import DEFAULT_TIERS, UNKNOWN_TIER, Tier


@dataclass(frozen=True)
class Tiers:
    """The configured tiers.

    Attributes:
        order: tier names from the client's side to the API's; the last one is where a request path stops.
        patterns: (shell pattern of ``service.name``, tier) for components that name no tier; first match wins.
        edge: the tier whose PoP is the PoP of the whole path.
    """

    order: tuple[str, ...] = DEFAULT_TIERS
    patterns: tuple[tuple[str, str], ...] = field(default=())
    edge: str = Tier.EDGE

    def resolve(self, named: str, component: str) -> str:
        """The tier of a component that calls itself ``named`` (may be empty), else by pattern, else ``unknown``."""
        if named in self.order:
            return named
        for pattern, tier in self.patterns:
            if tier in self.order and fnmatch.fnmatchcase(component, pattern):
                return tier
        return UNKNOWN_TIER

    def rank(self, tier: str) -> int:
        """How far down the way a tier stands, from 0; -1 if unknown."""
        return self.order.index(tier) if tier in self.order else -1

    @property
    def first(self) -> str:
        """Where a complete path begins."""
        return self.order[0]

    @property
    def api(self) -> str:
        """Where a path ends."""
        return self.order[-1]
