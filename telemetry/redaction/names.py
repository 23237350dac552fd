"""What a name says about its value: attribute names, and names in text (``name=value``, ``"name": "value"``)."""

import re
from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """What the value of a name is."""

    TEXT = 0
    """Nothing special: its text is looked through."""
    IDENTIFIER = 1
    """A trace, span or request id: a value that has the shape of one is left alone."""
    SECRET = 2
    """Taken out whole: a credential."""
    CODE = 3
    """Taken out whole: a card's security code or PIN. In text only if digits follow."""
    CARD = 4
    """Taken out whole: a card number or track data, whatever it looks like."""


_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# Compared with the last words of a name, joined: "http.request.header.x-api-key", "apiKey" and "API_KEY" end in "apikey".
_ENDINGS: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (
    (Kind.IDENTIFIER, ("traceid", "spanid", "parentid", "requestid", "correlationid", "instanceid", "uuid", "guid")),
    (
        Kind.SECRET,
        (
            "authorization", "cookie", "cookies", "setcookie", "apikey", "password", "passwd", "passphrase", "secret",
            "token", "accesskey", "secretkey", "privatekey", "signingkey", "encryptionkey", "credential", "credentials",
            "clientsecret", "sessionid", "jwt", "bearer", "signature", "cardtoken", "secretkeybase", "apitoken",
            "setcookie2", "xapikey", "pwd", "otp", "sessionkey", "sharedkey", "authkey", "connectionstring",
        ),
    ),
    (
        Kind.CODE,
        (
            "cvv", "cvv2", "cvc", "cvc2", "cav", "cav2", "cvn", "cvn2", "csc", "cvvcode", "cvccode", "cvvnumber", "cvcnumber",
            "securitycode", "cardcode", "verificationvalue", "verificationcode", "cardverification", "cardverificationvalue",
            "pin", "pinblock", "pincode", "pinnumber", "cardpin", "cardcvv", "cardcvc", "newpin", "oldpin",
        ),
    ),
    (
        Kind.CARD,
        (
            "cardnumber", "cardno", "cardnum", "creditcard", "creditcardnumber", "debitcardnumber", "ccnumber", "ccnum",
            "ccno", "pan", "primaryaccountnumber", "trackdata", "track1", "track2", "track3", "trackdata1",
            "track1data", "track2data", "trackdata2", "magstripe", "magneticstripe", "emvdata", "iccdata",
        ),
    ),
)  # fmt: skip
_KINDS: Final = {ending: kind for kind, endings in _ENDINGS for ending in endings}
# Semantic conventions, Session: an id for statistics, no credential.
_INNOCENT: Final = frozenset({"session.id", "session.previous_id"})
_LONGEST: Final = 4
"""Most words that an ending has ("card verification value" has three; "track 2 data")."""

_known: dict[str, Kind] = {}
_ROOM: Final = 4096


def kind(name: str) -> Kind:
    """What the value of ``name`` is. Remembered, for as many names as a service has."""
    found = _known.get(name)
    if found is None:
        found = _kind(name)
        if len(_known) >= _ROOM:
            _known.clear()
        if len(name) <= 256:
            _known[name] = found
    return found


def _kind(name: str) -> Kind:
    if name in _INNOCENT:
        return Kind.TEXT
    words = [word.lower() for word in _WORDS.findall(name[-96:])]
    for count in range(min(_LONGEST, len(words)), 0, -1):
        found = _KINDS.get("".join(words[-count:]))
        if found is not None:
            return found
    return Kind.TEXT
