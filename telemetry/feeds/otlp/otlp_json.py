"""OTLP/JSON to protobuf (OTLP 1.x, "JSON Protobuf Encoding").

It is proto3's JSON mapping with one deviation: trace and span ids are hex, not base64.
"""

import base64
import binascii
import json
import re
from typing import Any, Final

from google.protobuf import json_format

from telemetry.errors import MalformedError
from telemetry.feeds.otlp.intake import Signal

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
_DEPTH: Final = 200
_FIELD: Final = re.compile(r"Failed to parse (\w+) field: ")


def to_protobuf(signal: Signal, body: bytes) -> bytes:
    """The serialized protobuf request that ``body`` says in JSON. Unknown fields are ignored.

    Raises:
        MalformedError: it is not JSON or not such a request; names the place.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the body ({len(body)} bytes) is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedError(f"the body is a JSON {type(document).__name__}, not an object")
    _hex_to_base64(document, "", 0)
    message = signal.request()
    try:
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
        return bytes(message.SerializeToString())
    except Exception as error:  # also SystemError and OverflowError, of names and numbers that C++ does not take
        name = signal.request.DESCRIPTOR.name
        raise MalformedError(f"the body is not a JSON {name}: {_with_path(str(error))}") from error


def _with_path(message: str) -> str:
    """protobuf wraps an error once a field, "Failed to parse x field: Failed to parse y field: ...": say ``x.y: ...``."""
    fields = _FIELD.findall(message)
    rest = " ".join(_FIELD.sub("", message).split())[:300]
    return _sayable(f"{'.'.join(fields)}: {rest}" if fields else rest)


def _sayable(text: str) -> str:
    """JSON can name halves of a character (``\\ud800``), which cannot be written anywhere."""
    return text.encode("utf-8", "backslashreplace").decode()


def _hex_to_base64(node: Any, path: str, depth: int) -> None:
    """Replace the ids in place. In OTLP these keys are fields only; attribute names are values of ``key``."""
    if depth > _DEPTH:
        raise MalformedError(f"{_sayable(path[:200])}...: nested more than {_DEPTH} deep")
    if isinstance(node, dict):
        for name, value in node.items():
            where = f"{path}.{name}" if path else name
            if name in _IDS:
                node[name] = _id(value, where)
            elif isinstance(value, (dict, list)):
                _hex_to_base64(value, where, depth + 1)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, (dict, list)):
                _hex_to_base64(value, f"{path}[{index}]", depth + 1)


def _id(value: Any, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedError(f"{_sayable(where)}: an id is a string of hex digits, not {type(value).__name__}")
    try:
        return base64.b64encode(binascii.unhexlify(value)).decode()
    except ValueError as error:
        raise MalformedError(f"{_sayable(where)}: {value[:40]!r} is not a string of hex digits") from error
