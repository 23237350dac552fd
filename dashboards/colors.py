"""One colour a meaning, the same in every panel: calm for what is fine, warm for what is not."""

from typing import Final

from telemetry.vocabulary import Outcome, Tier

GREEN: Final = "#5aa87a"
AMBER: Final = "#e0a93f"
RED: Final = "#e5584f"
BLUE: Final = "#5b8fd6"
GREY: Final = "#6f7885"

OUTCOMES: Final[dict[str, str]] = {
    Outcome.OK: GREEN,
    Outcome.CLIENT_ERROR: BLUE,
    Outcome.THROTTLED: AMBER,
    Outcome.BLOCKED: "#9b7fd1",
    Outcome.EDGE_ERROR: RED,
    Outcome.API_ERROR: "#d9793b",
    Outcome.TIMEOUT: "#c9508f",
    Outcome.CANCELLED: GREY,
}

TIERS: Final[dict[str, tuple[str, str, str]]] = {
    Tier.CLIENT: ("#8a94a6", "#b3bac6", "#5f6877"),
    Tier.EDGE: ("#4f8fe0", "#8ab6ee", "#2f63ab"),
    Tier.BALANCER: ("#3fa7a0", "#82cbc6", "#2a7671"),
    Tier.GATEWAY: ("#9b7fd1", "#c0addf", "#6d55a0"),
    Tier.API: ("#d08f4f", "#e3b98d", "#9c6530"),
}
"""Per tier the colours of its self, network and retry time."""

QUANTILES: Final[dict[str, str]] = {"p50": GREEN, "p90": AMBER, "p99": RED}
