"""Outcome and blame of one path. Rules: ``telemetry.domain.outcome``; what a string says was asked once (``strings``)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Int, inlined
from telemetry.engine import strings as words
from telemetry.vocabulary import Outcome

_ORDER: Final = list(Outcome)
OK: Final = _ORDER.index(Outcome.OK)
CLIENT_ERROR: Final = _ORDER.index(Outcome.CLIENT_ERROR)
THROTTLED: Final = _ORDER.index(Outcome.THROTTLED)
BLOCKED: Final = _ORDER.index(Outcome.BLOCKED)
EDGE_ERROR: Final = _ORDER.index(Outcome.EDGE_ERROR)
API_ERROR: Final = _ORDER.index(Outcome.API_ERROR)
TIMEOUT: Final = _ORDER.index(Outcome.TIMEOUT)
CANCELLED: Final = _ORDER.index(Outcome.CANCELLED)


@inlined
def outcome_of(final: Any, blamed: Any, reached_api: bool, api_blamed: bool, says: NDArray[np.uint8]) -> Int:
    """The place of the outcome in :class:`telemetry.vocabulary.Outcome`.

    Args:
        final: the span that says how the request ended for the client; it failed.
        blamed: the span of the hop to blame.
        reached_api: whether the path reached the API.
        api_blamed: whether the blamed hop is the API's.
        says: what every string says.
    """
    status = final["status"]
    flags, blamed_flags = says[final["flags"]], says[blamed["flags"]]
    if status == 504 or flags & words.TIMEOUT_FLAG or says[final["error"]] & words.TIMEOUT_WORD:
        return TIMEOUT
    if status == 499 or flags & words.CANCEL_FLAG or says[final["error"]] & words.CANCEL_WORD:
        return CANCELLED
    # A client sees no flags: what the proxy to blame says of itself counts as well.
    if status == 429 or (flags | blamed_flags) & words.THROTTLE_FLAG:
        return THROTTLED
    if (flags | blamed_flags) & words.BLOCK_FLAG:
        return BLOCKED
    if (status == 401 or status == 403) and not reached_api:
        return BLOCKED
    if blamed["status"] == 504 or blamed_flags & words.TIMEOUT_FLAG or says[blamed["error"]] & words.TIMEOUT_WORD:
        return TIMEOUT
    if 400 <= status < 500:
        return CLIENT_ERROR
    return API_ERROR if api_blamed else EDGE_ERROR
