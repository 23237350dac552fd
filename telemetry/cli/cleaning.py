"""What a command says and logs, without secrets: those that it was given, and whatever looks like a card number or a secret."""

import json
import re
from typing import Final
from urllib.parse import quote, quote_plus

from telemetry.redaction import SECRET, redact_text

_SHORTEST: Final = 4
"""Shorter secrets are not looked for in text: every word would be full of them."""
# Our own and ClickHouse's words, which look like a named secret and are none.
_INNOCENT: Final = re.compile(
    r"(://USER:PASSWORD@| (?:is|was) (?:missing|empty|incorrect|wrong|locked|given|needed|required|not|no|of)\b)"
)
# kafka-python logs whole requests at DEBUG: this one is the password, or what proves it.
_LOGIN: Final = re.compile(r"(SaslAuthenticate\w*)\(.*", re.DOTALL)
# Bytes in Python's representation: whole fetches, at DEBUG. What they hold cannot be seen through their escapes.
_BYTES: Final = re.compile(
    r"""(?:(?<=[\s=(,:\[{])|(?<![\s\S]))b(?:'(?!s\b)(?:[^'\\]|\\(?:.|\Z))*+(?:'|\Z)|"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z))""",
    re.DOTALL,
)

_hidden: dict[str, None] = {}


def hide(secret: str) -> None:
    """Never show ``secret`` from now on, nor what becomes of it in URLs, JSON and Python's representations."""
    if len(secret) < _SHORTEST:
        return
    for form in (
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
    ):
        _hidden[form] = None


def forget() -> None:
    """Hide nothing any more (for tests)."""
    _hidden.clear()


def clean(text: str) -> str:
    """``text`` without secrets and card numbers."""
    for secret in sorted(_hidden, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, SECRET)
    if "SaslAuthenticate" in text:
        text = _LOGIN.sub(rf"\1({SECRET})", text)
    if "b'" in text or 'b"' in text:
        text = _BYTES.sub("[bytes]", text)
    # What is innocent stays as it is; what stands between is looked through.
    return "".join(part if nth % 2 else redact_text(part) for nth, part in enumerate(_INNOCENT.split(text)))
