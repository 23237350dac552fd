"""A fast look at a whole serialized payload: does it certainly hold no card number in plain digits?

Works on bytes of any encoding in which ASCII digits stand as they are (protobuf, JSON, text), at about the speed of memory:
the digits are squeezed together and long runs looked for; nothing is decoded.
"""

import re
from typing import Final

from telemetry.redaction.brands import LONGEST, SHORTEST
from telemetry.redaction.cards import is_card

_SEPARATORS: Final = bytes(
    code for code in range(256) if not (48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122)
)
_ONLY_DIGITS: Final = bytes(48 if 48 <= code <= 57 else 97 for code in range(256))
_RUN: Final = b"0" * SHORTEST
_DIGITS: Final = re.compile(rb"[0-9]++")


def suspicious(payload: bytes) -> bool:
    """Whether digits that could be a card number's stand in ``payload``, with anything but letters between them.

    ``False`` is certain for plain digits (not for encoded ones); ``True`` is a reason to look closer: the digits may belong
    to neighbouring fields, or be inside a longer number.
    """
    squeezed = payload.translate(_ONLY_DIGITS, _SEPARATORS)
    at = squeezed.find(_RUN)
    if at < 0:
        return False
    digits = payload.translate(None, _SEPARATORS)
    while at >= 0:
        match = _DIGITS.match(digits, at)
        assert match is not None  # noqa: S101 - both were squeezed alike
        run = match[0].decode("ascii")
        if any(
            is_card(run[first : first + size])
            for first in range(len(run) - SHORTEST + 1)
            for size in range(SHORTEST, min(LONGEST, len(run) - first) + 1)
        ):
            return True
        at = squeezed.find(_RUN, match.end())
    return False
