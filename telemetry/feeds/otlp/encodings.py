"""The two encodings in which OTLP lies in Kafka: protobuf (the Collector's ``otlp_proto``) and JSON (``otlp_json``).

Which one a message has is seen from its first byte. JSON begins with ``{`` (0x7B), which no OTLP message in protobuf does: it
would be field 15 as a group, and OTLP requests have but field 1.
"""

import json
from collections.abc import Sequence
from typing import Final

from telemetry.errors import MalformedError
from telemetry.feeds.otlp.intake import Signal
from telemetry.feeds.otlp.otlp_json import to_protobuf as from_json

JSON_BYTES: Final = 8 * 1024 * 1024
"""The largest message in JSON. Parsed, it takes some eight times as much memory, and twenty times if it is made to."""
_BRACE: Final = b"{"


def json_places(values: Sequence[bytes]) -> list[int]:
    """Which of these messages are JSON."""
    return [place for place, value in enumerate(values) if value.startswith(_BRACE)]


def to_protobuf(value: bytes, kind: Signal, limit: int = JSON_BYTES) -> bytes:
    """A message in protobuf: itself if it is, else what its JSON says.

    OTLP/JSON (OTLP 1.x, "JSON Protobuf Encoding"): ids are hex, enums numbers or names, 64-bit integers strings or numbers;
    unknown fields are ignored.

    Args:
        value: an ``ExportTraceServiceRequest`` or ``ExportMetricsServiceRequest`` in either encoding.
        kind: which of them.
        limit: the most bytes of JSON.

    Raises:
        MalformedError: it is JSON, and not of that kind, too large or too deep; says where. Protobuf is not looked at.
    """
    if not value.startswith(_BRACE):
        return value
    if len(value) > limit:
        raise MalformedError(f"{len(value)} bytes of JSON are more than {limit}; send smaller batches")
    found = from_json(kind, value)
    if not found:
        # Fields that are not known are ignored, but if nothing else is there it is another signal's message.
        (field,) = kind.request.DESCRIPTOR.fields
        keys = list(json.loads(value))
        if keys and field.json_name not in keys and field.name not in keys:
            raise MalformedError(f"JSON without {field.json_name}, it has {', '.join(map(repr, keys[:3]))}"[:200])
    return found
