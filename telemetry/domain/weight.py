"""How many requests a sampled span stands for.

Source: OpenTelemetry, "TraceState: Probability Sampling": the ``th`` value of the ``ot`` vendor entry is a rejection
threshold of up to 14 hexadecimal digits, trailing zeros left out; a span was kept with probability (2^56 - th) / 2^56.
"""

import re
from typing import Final

THRESHOLD: Final = r"(?:^|,)[ \t]*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;, \t]|$)"
_PATTERN = re.compile(THRESHOLD.replace("$", r"\Z"))  # RE2's $ is Python's \Z
MOST: Final = 1_000_000.0
"""The largest weight that is believed: a sender that claims to keep one trace of 2^56 must not drown all others."""
_ALL = 1 << 56


def from_tracestate(tracestate: str) -> float:
    """The weight, 1 to :data:`MOST`; 0 if the tracestate has no valid threshold."""
    match = _PATTERN.search(tracestate)
    if not match:
        return 0.0
    return min(float(_ALL) / float(_ALL - int(match[1].ljust(14, "0"), 16)), MOST)  # in doubles, as the engine does
