"""Takes card numbers and secrets out of text, attributes and OTLP payloads. Pure: standard library only, no I/O, no clock.

The SDK uses it before anything leaves a process; the receiver and the consumer use it again for senders that lack the SDK.

- :func:`redact_text` for any text: cards in every disguise that :mod:`telemetry.redaction.views` sees through, and secrets
  that are named in the text (``cvv=123``, ``Authorization: Bearer ...``).
- :func:`redact_attribute` for an attribute: the same, and by its name.
- :func:`telemetry.redaction.payload.suspicious` for a whole serialized payload: a fast "certainly no card number in here".

Sources: PCI DSS 4.0 requirements 3.3 (no CVV, track or PIN data is kept) and 3.4 (a shown PAN is masked); ISO/IEC 7812-1
(issuer identification, Luhn check digit). A found number is replaced whole: nothing of it is needed to follow a request.
"""

from telemetry.redaction.attributes import redact_attribute, redact_attributes
from telemetry.redaction.marks import CARD, SECRET
from telemetry.redaction.text import redact_text

__all__ = ["CARD", "SECRET", "redact_attribute", "redact_attributes", "redact_text"]
