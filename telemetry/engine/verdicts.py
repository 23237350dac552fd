"""Outcome and blame for many paths at once. Rules: ``telemetry.domain.outcome``, asked once for each distinct string."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from telemetry.domain import outcome as rules
from telemetry.domain.tiers import Tiers
from telemetry.engine.columns import I32, I64, Flags, SpanColumns, Strings
from telemetry.engine.tree import Pointers
from telemetry.vocabulary import Outcome


@dataclass(slots=True)
class Verdicts:
    """One entry a path, codes; 0 (the empty string) in the blame where the outcome is ``ok``."""

    outcome: I32
    blamed_tier: I32
    blamed_component: I32
    blamed_pop: I32
    reason: I32


def verdicts(
    hops: SpanColumns,
    bad: Flags,
    first: I64,
    final: Pointers,
    blamed: Pointers,
    reached_api: Flags,
    strings: Strings,
    tiers: Tiers,
) -> Verdicts:
    """Judge every path.

    Args:
        hops: the head spans of all hops.
        bad: which hops failed.
        first: place of each path's first hop.
        final: place of each path's first hop that has a status or failed, -1 if none.
        blamed: place of each path's last hop that failed, -1 if none.
        reached_api: which paths reached the API.
        strings: what the codes stand for; new ones are added.
        tiers: the configured tiers.
    """
    status, flags, error, tier = hops.status, hops.flags, hops.error, hops.tier
    timeout = (
        (status == 504)
        | _where(flags, strings, lambda s: rules.is_timeout(0, s, ""))
        | _where(error, strings, lambda s: rules.is_timeout(0, "", s))
    )
    cancel = (
        (status == 499)
        | _where(flags, strings, lambda s: rules.is_cancel(0, s, ""))
        | _where(error, strings, lambda s: rules.is_cancel(0, "", s))
    )
    throttle_flag = _where(flags, strings, lambda s: rules.is_throttle(0, s))
    throttle = (status == 429) | throttle_flag
    block = _where(flags, strings, rules.is_block)

    failed = (final >= 0) & bad[final]
    ended = status[final]
    ordered = [
        (~failed, Outcome.OK),
        (timeout[final], Outcome.TIMEOUT),
        (cancel[final], Outcome.CANCELLED),
        (throttle[final] | throttle_flag[blamed], Outcome.THROTTLED),
        (block[final] | block[blamed], Outcome.BLOCKED),
        (((ended == 401) | (ended == 403)) & ~reached_api, Outcome.BLOCKED),
        (timeout[blamed], Outcome.TIMEOUT),
        ((ended >= 400) & (ended < 500), Outcome.CLIENT_ERROR),
        (tier[blamed] == strings.code(tiers.api), Outcome.API_ERROR),
    ]
    outcome = np.select(
        [holds for holds, _ in ordered],
        [np.int32(strings.code(o)) for _, o in ordered],
        default=np.int32(strings.code(Outcome.EDGE_ERROR)),
    ).astype(np.int32)
    cancelled = outcome == strings.code(Outcome.CANCELLED)
    who = np.where(cancelled, first, blamed)
    why = np.where(cancelled, final, blamed)

    def at(codes: I32, place: Pointers) -> I32:
        return np.where(failed, codes[place], 0).astype(np.int32)

    reason = at(np.where(flags != 0, flags, np.where(error != 0, error, _status_codes(status, strings))), why)
    return Verdicts(outcome, at(tier, who), at(hops.component, who), at(hops.pop, who), reason)


def _where(codes: I32, strings: Strings, holds: Callable[[str], bool]) -> Flags:
    """Which entries stand for a string that ``holds``; asked once for each distinct one."""
    distinct, inverse = np.unique(codes, return_inverse=True)
    return np.fromiter((holds(strings.text(int(c))) for c in distinct), dtype=np.bool_)[inverse]


def _status_codes(status: I32, strings: Strings) -> I32:
    distinct, inverse = np.unique(status, return_inverse=True)
    return strings.codes(str(s) if s else "" for s in distinct)[inverse]
