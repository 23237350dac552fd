"""kafka-python's way from the socket to an answer's bytes, replaced by one without detours.

kafka-python 3 receives 4096 bytes a system call, joins them, copies them into the answer's buffer, and copies the records
out of it twice: that is more than half of what a fetch costs. Here up to a megabyte is received at once, goes into the
answer's buffer, and the records are a view of that. A release that does it in another way is noticed by :func:`install`,
and left as it is.
"""

import inspect
import logging
import ssl
from typing import Any, Final

from kafka import errors
from kafka.net import transport
from kafka.protocol import frame, parser

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 1024 * 1024
_LARGE: Final = 16 * 1024
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def install() -> bool:
    """Let every Kafka client of this process receive so; False if this kafka-python cannot. Twice does no harm."""
    kinds = (transport.KafkaTCPTransport, transport.KafkaSSLTransport)
    known = all(list(inspect.signature(kind._sock_recv).parameters) == ["self"] for kind in kinds)
    if not known or not issubclass(frame.KafkaBytes, bytearray) or "KafkaBytes" not in vars(parser):
        return False
    for kind in kinds:
        kind._sock_recv = _receive
    parser.KafkaBytes = Answer
    return True


class Answer(frame.KafkaBytes):  # type: ignore[misc] # kafka-python has no types
    """The bytes of an answer, which are filled in and then read once."""

    _idx: int

    def read(self, nbytes: int | None = None) -> bytes | memoryview:
        """The next bytes, fewer at the end; many of them as a view."""
        begin = self._idx
        self._idx = len(self) if nbytes is None else min(begin + nbytes, len(self))
        view = memoryview(self)[begin : self._idx]
        return view.toreadonly() if len(view) >= _LARGE else bytes(view)


def _receive(self: Any) -> tuple[bytes | memoryview, Exception | None]:
    """What has come, good until the next call; and what is wrong with the connection."""
    room = getattr(self, "_edgepath_room", None)
    if room is None:
        room = self._edgepath_room = memoryview(bytearray(_AT_ONCE))
    size = 0
    try:
        while size < len(room):
            came = self._sock.recv_into(room[size:])
            if not came:
                _log.error("%s: socket disconnected", self)
                return room[:size], errors.KafkaConnectionError("socket disconnected")
            size += came
    except _NOT_NOW:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, the connection is done with
        _log.exception("%s: cannot receive", self)
        return room[:size], errors.KafkaConnectionError(error)
    return room[:size], None
