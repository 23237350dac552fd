"""Tiers out of the command line's words."""

from collections.abc import Sequence

from telemetry.domain.tiers import Tiers
from telemetry.errors import ConfigurationError
from telemetry.vocabulary import Tier


def tiers_from(order: str, patterns: Sequence[str]) -> Tiers:
    """Tiers from ``client,edge,...`` and ``PATTERN=TIER`` words.

    Raises:
        ConfigurationError: a tier twice or empty, or a pattern of a tier that is not there.
    """
    names = tuple(name.strip() for name in order.split(","))
    if len(names) < 2 or not all(names) or len(set(names)) != len(names):
        raise ConfigurationError(
            f"--tiers {order}: name each tier once, from the client to the API, with commas between"
        )
    pairs = []
    for word in patterns:
        pattern, _, tier = word.rpartition("=")
        if not pattern or tier not in names:
            raise ConfigurationError(f"--tier-of {word}: write PATTERN=TIER with a tier of {', '.join(names)}")
        pairs.append((pattern, tier))
    return Tiers(names, tuple(pairs), Tier.EDGE if Tier.EDGE in names else names[min(1, len(names) - 1)])
