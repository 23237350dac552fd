"""Does a number still stand in bytes? Decided without any code of the redaction: an oracle must not share its bugs."""

import html
import re
import unicodedata
from urllib.parse import unquote

_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")


def stands(number: str, hidden: str, output: bytes) -> bool:
    """Whether ``output`` holds ``number`` plainly, in its disguise ``hidden``, or in groups or URL-encoded in any way."""
    if number.encode() in output or hidden.encode() in output or repr(hidden)[1:-1].encode() in output:
        return True
    said = output.decode("utf-8", "ignore")
    for _ in range(4):
        said = html.unescape(unquote(said))
    said = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), said)
    folded = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in said)
    return number in re.sub(r"[^0-9A-Za-z]", "", folded)
