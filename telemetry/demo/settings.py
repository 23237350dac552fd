"""What can be set about the demo."""

from dataclasses import dataclass
from typing import Final

from telemetry.errors import ConfigurationError

ENVIRONMENT: Final = "demo"
CORE_POP: Final = "core"
"""Where balancer, gateway and API stand: one place behind all edge PoPs."""
CORE_REGION: Final = "eu-central-1"
REGIONS: Final = {"fra": "eu-central-1", "iad": "us-east-1"}
"""Regions of well-known PoPs; another PoP is its own region."""


@dataclass(frozen=True)
class DemoSettings:
    """The demo's settings.

    Attributes:
        rate: requests a second, over all PoPs.
        pops: the edge PoPs; each gets an equal part of the requests.
        incident_pop: the PoP in which the incident happens.
        incident_after_seconds: from the start of the load to the start of the incident.
        incident_seconds: how long the incident lasts.
        incident_share: the part of that PoP's upstream connections that fail, 0 to 1.
        seed: of everything that is drawn.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    rate: float = 25.0
    pops: tuple[str, ...] = ("fra", "iad")
    incident_pop: str = "fra"
    incident_after_seconds: float = 60.0
    incident_seconds: float = 35.0
    incident_share: float = 0.35
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1000:
            raise ConfigurationError(f"rate: {self.rate:g} requests a second; the demo can do more than 0, up to 1000")
        if len(set(self.pops)) != len(self.pops) or not all(pop.isalnum() for pop in self.pops):
            raise ConfigurationError(f"pops: {', '.join(self.pops)}; give each PoP once, as letters and digits")
        if self.incident_pop not in self.pops:
            raise ConfigurationError(f"incident_pop: {self.incident_pop} is not one of the PoPs {', '.join(self.pops)}")
        if not 0.01 <= self.incident_share <= 0.99:
            raise ConfigurationError(f"incident_share: {self.incident_share:g}; it must lie between 0.01 and 0.99")
        if self.incident_after_seconds < 0 or self.incident_seconds < 0:
            raise ConfigurationError("incident_after_seconds, incident_seconds: they cannot be negative")
