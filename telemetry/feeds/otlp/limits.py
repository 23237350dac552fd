"""How much the receiver takes at once, and the gate that holds senders to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from telemetry.errors import OverloadedError

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds on what clients may send.

    Attributes:
        body_bytes: the largest body as it comes over the wire; for gRPC also after decompression.
        decompressed_bytes: the largest HTTP body after decompression.
        requests: how many requests a receiver works on at once.
        pending_bytes: how many bytes of bodies a receiver holds at once, over all requests.
        body_seconds: how long an HTTP body may take to arrive.
        retry_after_seconds: when a client that met a full receiver should come again.
    """

    body_bytes: int = 16 * MIB
    decompressed_bytes: int = 64 * MIB
    requests: int = 64
    pending_bytes: int = 256 * MIB
    body_seconds: float = 30.0
    retry_after_seconds: float = 1.0


class Gate:
    """Counts requests and bytes in work. Safe to use from several threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def request(self) -> Iterator["Held"]:
        """Let one request in; what it holds is given back at the end.

        Raises:
            OverloadedError: as many requests as allowed are in work.
        """
        self.enter()
        held = Held(self)
        try:
            yield held
        finally:
            held.give_back()
            self.leave()

    def enter(self) -> None:
        """Count a request in. Raises as :meth:`request` does."""
        with self._lock:
            if self._requests >= self._limits.requests:
                raise OverloadedError(
                    f"{self._requests} requests are in work already, no room for more; come again",
                    self._limits.retry_after_seconds,
                )
            self._requests += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._lock:
            self._requests -= 1

    def hold(self, size: int) -> None:
        """Count ``size`` more bytes in.

        Raises:
            OverloadedError: with them, more bytes than allowed would be held. A lone request is always let in.
        """
        with self._lock:
            if self._bytes and self._bytes + size > self._limits.pending_bytes:
                raise OverloadedError(
                    f"{self._bytes} bytes of requests are in work already, no room for more; come again",
                    self._limits.retry_after_seconds,
                )
            self._bytes += size

    def release(self, size: int) -> None:
        """Count ``size`` bytes out."""
        with self._lock:
            self._bytes -= size


class Held:
    """The bytes that one request holds."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._size = 0

    def more(self, size: int) -> None:
        """Hold ``size`` more bytes. Raises as :meth:`Gate.hold` does."""
        self._gate.hold(size)
        self._size += size

    def give_back(self) -> None:
        """Let go of all of them."""
        self._gate.release(self._size)
        self._size = 0
