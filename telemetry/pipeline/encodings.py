"""Messages in JSON among those in protobuf: the engine is handed protobuf alone."""

from dataclasses import dataclass, field

from telemetry.errors import MalformedError
from telemetry.feeds.base import Record, RecordBatch
from telemetry.feeds.otlp.encodings import to_protobuf
from telemetry.feeds.otlp.intake import Signal

_BRACE = ord("{")


@dataclass(frozen=True)
class Translated:
    """A batch in protobuf, and the messages that were JSON and nothing of OTLP, each with the reason.

    The place of such a message is held by an empty one: its offset must be gone past.
    """

    batch: RecordBatch
    rejected: list[tuple[Record, str]] = field(default_factory=list)


def in_protobuf(batch: RecordBatch, signal: Signal) -> Translated:
    """The batch with its messages in protobuf: itself, unless a message begins as JSON does."""
    if not (batch.data[batch.begins[batch.ends > batch.begins]] == _BRACE).any():
        return Translated(batch)
    values: list[bytes] = []
    rejected: list[tuple[Record, str]] = []
    for record in batch.records():
        try:
            values.append(to_protobuf(record.value, signal))
        except MalformedError as error:
            rejected.append((record, str(error)))
            values.append(b"")
    return Translated(RecordBatch.of(batch.partition, values, batch.offsets, batch.arrival_ms), rejected)
