"""Where the receiver puts what it was sent: the journal, or Kafka."""

from typing import Protocol

from telemetry.errors import EdgepathError


class PartialError(EdgepathError):
    """All of a request was taken but a few items that never can be: OTLP's partial success.

    Attributes:
        rejected: how many items (spans or metrics) were not taken.
    """

    def __init__(self, message: str, rejected: int) -> None:
        super().__init__(message)
        self.rejected = rejected


class Sink(Protocol):
    """Takes OTLP requests for good. Used by many threads at once.

    The receiver answers its client only after :meth:`accept` has returned, so what was acknowledged is never lost.
    """

    def accept(self, payload: bytes) -> None:
        """Keep ``payload`` durably: one well-formed ``ExportTraceServiceRequest`` (or ``ExportMetricsServiceRequest``).

        Returns only when the whole payload would survive a crash. When it raises, the client is told to send the whole
        payload again; a part of it may have been kept, so what comes after must bear the same span twice.

        Raises:
            OverloadedError: no room now; nothing of it is lost, the client comes again.
            UnavailableError: what keeps it does not answer now; the client comes again.
            MalformedError: it can never be taken; the client gives it up.
            PartialError: the rest of it is kept; the client gives up the items that are not.
        """
        ...


SpanSink = Sink


class MemorySink:
    """Keeps payloads in a list: for tests and for trying out a client."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def accept(self, payload: bytes) -> None:
        """Keep ``payload`` until the process ends."""
        self.payloads.append(payload)
