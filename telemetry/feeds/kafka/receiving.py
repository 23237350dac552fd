"""kafka-python's way from the socket to an answer's bytes, replaced by one without detours.

kafka-python 3 receives 4096 bytes a system call, joins them, copies them into the answer's buffer, and copies the records
out of it twice: that is more than half of what a fetch costs. Here a large answer is received where it stays, and its records
are a view of it. A release that does it in another way is noticed by :func:`install`, and left as it is.
"""

import inspect
import logging
import selectors
import socket
import ssl
from typing import Any, Final

import numpy as np
from kafka import errors
from kafka.net import transport
from kafka.protocol import frame, parser
from kafka.protocol.schemas.fields import codecs

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 64 * 1024
_TLS_RECORD: Final = 16 * 1024  # RFC 8446, section 5.1: the most that one holds
_LARGE: Final = 16 * 1024
_THEIR_EMIT: Final = codecs.Bytes.emit_decode_from
_NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def install() -> bool:
    """Let every Kafka client of this process receive so; False if this kafka-python cannot. Twice does no harm."""
    kinds = (transport.KafkaTCPTransport, transport.KafkaSSLTransport)
    known = all(list(inspect.signature(kind._sock_recv).parameters) == ["self"] for kind in kinds)
    theirs = {name for name, _ in inspect.getmembers(frame.KafkaBytes, inspect.isfunction)}
    ours = {"read", "write", "seek", "tell"}
    if not known or not ours <= theirs or "KafkaBytes" not in vars(parser):
        return False
    for kind in kinds:
        kind._sock_recv = _receive
    parser.KafkaBytes = Answer
    codecs.Bytes.emit_decode_from = staticmethod(_emit_decode_from)
    return True


class Answer:
    """The bytes of an answer, which are filled in and then read once; ``KafkaBytes`` to kafka-python."""

    def __init__(self, size: int) -> None:
        """Room for ``size`` bytes, not cleared: all of it is filled in before it is read."""
        self._bytes = np.empty(size, dtype=np.uint8).data
        self._place = 0

    def __len__(self) -> int:
        return len(self._bytes)

    def read(self, nbytes: int | None = None) -> bytes | memoryview:
        """The next bytes, fewer at the end; many of them as a view."""
        begin = self._place
        self._place = len(self) if nbytes is None else min(begin + nbytes, len(self))
        view = self._bytes[begin : self._place]
        return view.toreadonly() if len(view) >= _LARGE else bytes(view)

    def write(self, data: bytes | memoryview) -> None:
        """Fill in the next bytes."""
        self._bytes[self._place : self._place + len(data)] = data
        self._place += len(data)

    def seek(self, place: int) -> None:
        """Go on at ``place``."""
        self._place = place

    def tell(self) -> int:
        """Where reading or filling in goes on."""
        return self._place

    @property
    def lacks(self) -> int:
        """How many bytes are still to be filled in, without the last one: as that comes, kafka-python sees that it is whole."""
        return max(0, len(self) - 1 - self._place)

    def receive(self, sock: socket.socket) -> int:
        """Fill in what a socket has of what it :attr:`lacks`; 0 if the connection has ended. Raises as ``recv_into`` does."""
        came = sock.recv_into(self._bytes[self._place : len(self) - 1])
        self._place += came
        return came


def _emit_decode_from(context: Any, name: str, indent: str, compact: bool = False) -> None:
    """Have kafka-python write the code that takes bytes out of an answer, and give that code another ``bytes``."""
    _THEIR_EMIT(context, name, indent, compact=compact)
    context.globs["bytes"] = _bytes_or_view


def _bytes_or_view(data: Any) -> bytes | memoryview:
    large = isinstance(data, memoryview) and len(data) >= _LARGE
    return data if large else bytes(data)


class Selector(selectors.DefaultSelector):
    """The system's own, for kafka-python, which asks before each wait whether a socket is known.

    The standard library's answer to that, where it is not, describes the socket with two system calls: it takes longer than
    the wait's other steps together.
    """

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """As ``BaseSelector.get_key``."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return super().get_key(number if number >= 0 else fileobj)


def _receive(self: Any) -> tuple[bytes | memoryview, Exception | None]:
    """What has come but for what went into an answer at once, good until the next call; and what is wrong."""
    room = getattr(self, "_edgepath_room", None)
    if room is None:
        room = self._edgepath_room = memoryview(bytearray(_AT_ONCE + _TLS_RECORD))
    answer = _unfinished(self)
    size = 0
    try:
        while answer is not None and answer.lacks:
            if not answer.receive(self._sock):
                return _ended(self, room[:0])
        # With TLS a receive gives at most one record. There is room for a whole one each time: what would be left of it lies in
        # OpenSSL, and nothing would wake us for it.
        while size < _AT_ONCE:
            came = self._sock.recv_into(room[size:])
            if not came:
                return _ended(self, room[:size])
            size += came
    except _NOT_NOW:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, the connection is done with
        _log.exception("%s: cannot receive", self)
        return room[:size], errors.KafkaConnectionError(error)
    return room[:size], None


def _ended(self: Any, last: memoryview) -> tuple[memoryview, Exception]:
    _log.error("%s: socket disconnected", self)
    return last, errors.KafkaConnectionError("socket disconnected")


def _unfinished(self: Any) -> Answer | None:
    """The answer that is under way on a connection, if it is a large one."""
    reading = getattr(self._protocol, "parser", None)
    answer = getattr(reading, "_rbuffer", None) if getattr(reading, "_receiving", False) else None
    return answer if isinstance(answer, Answer) and answer.lacks >= _LARGE else None
