"""The way of a line: syslog over UDP, parse, spans, a bounded queue, OTLP over HTTP.

Nothing waits for the endpoint but the sending thread. What does not fit into the queue is dropped and counted.
"""

import logging
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from telemetry.adapt import lines
from telemetry.adapt.spans import TENANT_FIELD, pair, spans
from telemetry.errors import ConfigurationError, MalformedError

_log: Final = logging.getLogger(__name__)

BATCH: Final = 512
QUEUE: Final = 20_000
DELAY: Final = 0.5
"""Longest time in seconds that a span waits for others."""
_BUFFER: Final = 8 * 1024 * 1024
"""Bytes of datagrams that the kernel may keep for us."""
_RETRYABLE: Final = frozenset({429, 502, 503, 504})


class Adapter:
    """Takes syslog datagrams and sends spans, in two threads of its own.

    Args:
        listen: host and port; port 0 takes a free one.
        endpoint: base URL of OTLP/HTTP.
        resource: attributes of the proxy: service name, tier, PoP and so on.
        tenant_field: field of a line that says on whose behalf the request came.
        wait: how to wait for some seconds between attempts to send, ending early when told to stop.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        endpoint: str,
        resource: Mapping[str, str],
        tenant_field: str = TENANT_FIELD,
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._resource = [pair(name, value) for name, value in resource.items()]
        self._waiting: queue.Queue[list[Span]] = queue.Queue(QUEUE)
        self._stop = threading.Event()
        self._wait = wait
        self._tenant_field = tenant_field
        self.counts: Counter[str] = Counter()
        try:
            self._socket = socket.socket(socket.AF_INET6 if ":" in listen[0] else socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind(listen)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror}; choose another with --listen"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._threads = [
            threading.Thread(target=each, name=f"adapt-{each.__name__.strip('_')}", daemon=True)
            for each in (self._receive, self._send)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Take nothing more, send what waits for at most ``seconds``, and end."""
        deadline = time.monotonic() + seconds
        self._stop.set()
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        self._socket.close()
        self.counts["dropped"] += sum(len(each) for each in self._drain())

    def _drain(self) -> list[list[Span]]:
        found = []
        while True:
            try:
                found.append(self._waiting.get_nowait())
            except queue.Empty:
                return found

    # --- in the receiving thread ------------------------------------------------------------------------------------

    def _receive(self) -> None:
        self._socket.settimeout(0.2)
        while not self._stop.is_set():
            try:
                datagram = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            self.take(datagram)

    def take(self, datagram: bytes) -> None:
        """One syslog message. Never raises."""
        self.counts["lines"] += 1
        try:
            made = spans(lines.parse(datagram), self._tenant_field)
        except MalformedError as error:
            self._once("malformed", str(error))
        except Exception:  # noqa: BLE001 - whatever a hostile datagram finds
            self._once("malformed", "a line could not be read")
        else:
            if not made:
                self.counts["not_sampled"] += 1
                return
            try:
                self._waiting.put_nowait(made)
            except queue.Full:
                self.counts["dropped"] += len(made)

    def _once(self, what: str, why: str) -> None:
        self.counts[what] += 1
        if self.counts[what] == 1:
            _log.warning("a line was left out: %s. Further ones are counted, not logged", why)

    # --- in the sending thread --------------------------------------------------------------------------------------

    def _send(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not (self._stop.is_set() and self._waiting.empty()):
                batch = self._next()
                if batch:
                    self._deliver(client, batch)

    def _next(self) -> list[Span]:
        batch: list[Span] = []
        deadline = time.monotonic() + DELAY
        while len(batch) < BATCH:
            try:
                batch += self._waiting.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                break
            if time.monotonic() > deadline or (self._stop.is_set() and self._waiting.empty()):
                break
        return batch

    def _deliver(self, client: httpx.Client, batch: list[Span]) -> None:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(self._resource)
        resource.scope_spans.add().spans.extend(batch)
        body, delay = request.SerializeToString(), 0.5
        while True:
            try:
                answer = client.post(self._url, content=body, headers={"content-type": "application/x-protobuf"})
                status = answer.status_code
            except httpx.HTTPError as error:
                status = 0
                self._once("unreachable", f"{self._url} does not answer ({type(error).__name__}); spans wait meanwhile")
            if status == 200:
                self.counts["sent"] += len(batch)
                return
            if (status and status not in _RETRYABLE) or self._stop.is_set():
                self.counts["dropped"] += len(batch)
                if status:
                    self._once("refused", f"{self._url} answered {status}")
                return
            self._wait(self._stop, delay)
            delay = min(delay * 2, 10.0)
