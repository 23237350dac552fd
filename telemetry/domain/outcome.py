"""How a request ended, and which hop is to blame.

Decided from HTTP status, ``error.type``, Envoy's response flags and how far the request came, never from the span status
alone: by convention a 4xx is no error on a SERVER span and is one on a CLIENT span, and Envoy marks every 4xx as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import Outcome

# Envoy response flags (https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage).
TIMEOUT_FLAGS: Final = frozenset({"UT", "SI", "DT", "UMSDR"})
CANCEL_FLAGS: Final = frozenset({"DC", "DR"})
THROTTLE_FLAGS: Final = frozenset({"RL", "OM"})
BLOCK_FLAGS: Final = frozenset({"UAEX"})

_TIMEOUT_WORDS: Final = ("timeout", "timedout", "timed_out", "deadline")
_CANCEL_WORDS: Final = ("cancel", "clientdisconnect", "client_disconnect")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome and the blame; the ``blamed_*`` fields and ``reason`` are empty for ``ok``."""

    outcome: Outcome
    blamed_tier: str = ""
    blamed_component: str = ""
    blamed_pop: str = ""
    reason: str = ""


def is_timeout(status: int, flags: str, error: str) -> bool:
    """Whether a hop says that time ran out."""
    return status == 504 or _flagged(flags, TIMEOUT_FLAGS) or _says(error, _TIMEOUT_WORDS)


def is_cancel(status: int, flags: str, error: str) -> bool:
    """Whether a hop says that the client left (499 is NGINX's word for it)."""
    return status == 499 or _flagged(flags, CANCEL_FLAGS) or _says(error, _CANCEL_WORDS)


def is_throttle(status: int, flags: str) -> bool:
    """Whether a hop says that there were too many requests."""
    return status == 429 or _flagged(flags, THROTTLE_FLAGS)


def is_block(flags: str) -> bool:
    """Whether a hop says that it refused the request (external authorization)."""
    return _flagged(flags, BLOCK_FLAGS)


def verdict(way: Sequence[Span], tiers: Tiers) -> Verdict:
    """The verdict on a way, its hops in order from the client's side.

    The first hop that has a status or an error says how the request ended for the client. The blamed hop is the one nearest
    the API that failed while none below it on the way did, so that an error passed on by four proxies is one error, blamed
    where it arose; for a cancelled request it is the first hop, from where the client left.
    """
    final = next((s for s in way if s.status or s.bad), None)
    if final is None or not final.bad:
        return Verdict(Outcome.OK)
    blamed = next(s for s in reversed(way) if s.bad)
    outcome = _outcome(final, blamed, reached_api=way[-1].tier == tiers.api, api=tiers.api)
    if outcome is Outcome.CANCELLED:
        first = way[0]
        return Verdict(outcome, first.tier, first.component, first.pop, reason(final.status, final.flags, final.error))
    return Verdict(
        outcome, blamed.tier, blamed.component, blamed.pop, reason(blamed.status, blamed.flags, blamed.error)
    )


def _outcome(final: Span, blamed: Span, *, reached_api: bool, api: str) -> Outcome:
    f = (final.status, final.flags, final.error)
    b = (blamed.status, blamed.flags, blamed.error)
    ordered = (
        (is_timeout(*f), Outcome.TIMEOUT),
        (is_cancel(*f), Outcome.CANCELLED),
        # A client sees no flags: what the proxy to blame says of itself counts as well.
        (is_throttle(final.status, final.flags) or is_throttle(0, blamed.flags), Outcome.THROTTLED),
        (is_block(final.flags) or is_block(blamed.flags), Outcome.BLOCKED),
        (final.status in (401, 403) and not reached_api, Outcome.BLOCKED),
        (is_timeout(*b), Outcome.TIMEOUT),
        (400 <= final.status < 500, Outcome.CLIENT_ERROR),
        (blamed.tier == api, Outcome.API_ERROR),
    )
    return next((outcome for holds, outcome in ordered if holds), Outcome.EDGE_ERROR)


def reason(status: int, flags: str, error: str) -> str:
    """The shortest true word for why: the proxy's flags, else the error type, else the status."""
    return flags or error or (str(status) if status else "")


def _flagged(flags: str, wanted: frozenset[str]) -> bool:
    return any(flag in wanted for flag in flags.split(","))


def _says(error: str, words: tuple[str, ...]) -> bool:
    lower = error.lower()
    return any(word in lower for word in words)
