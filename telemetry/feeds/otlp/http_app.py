"""The ASGI application of OTLP/HTTP: content types and encodings, limits, and the specification's answers."""

import asyncio
import math
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from telemetry.errors import MalformedError
from telemetry.feeds.otlp.bodies import decompress
from telemetry.feeds.otlp.intake import BodyTimeoutError, Intake, Refusal, Signal, TooLargeError, UnsupportedError
from telemetry.feeds.otlp.limits import Gate, Held, Limits
from telemetry.feeds.otlp.otlp_json import to_protobuf

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
# What a parsed JSON document weighs, as a multiple of its text.
_JSON_WEIGHT: Final = 8


def application(intake: Intake, limits: Limits) -> Starlette:
    """``POST /v1/traces`` and ``POST /v1/metrics``."""
    exporter = _Exporter(intake, limits)
    return Starlette(
        routes=[
            Route("/v1/traces", partial(exporter.export, Signal.TRACES), methods=["POST"]),
            Route("/v1/metrics", partial(exporter.export, Signal.METRICS), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _nothing_there},
    )


class _Exporter:
    """Answers export requests. The event loop only moves bytes; all else is done in threads."""

    def __init__(self, intake: Intake, limits: Limits) -> None:
        self._intake = intake
        self._limits = limits
        self._gate = Gate(limits)
        self._threads = CapacityLimiter(limits.requests)

    async def export(self, signal: Signal, request: Request) -> Response:
        """One request; the answer is in the content type in which it came."""
        content_type = PROTOBUF
        try:
            with self._gate.request() as held:
                content_type = _content_type(request)
                body = await self._read(request, held)
                work = partial(
                    self._take, signal, body, content_type, request.headers.get("content-encoding", ""), held
                )
                response = await to_thread.run_sync(work, limiter=self._threads)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:  # noqa: BLE001 - each is turned into an answer, and logged when not ours
            return _refusal(self._intake.refuse(error), content_type)
        return _answer(response, 200, content_type, {})

    async def _read(self, request: Request, held: Held) -> bytes:
        limit = self._limits.body_bytes
        too_large = f"the body is over the limit of {limit} bytes; send smaller batches"
        said = request.headers.get("content-length", "0")
        if said.isascii() and said.isdigit() and int(said) > limit:
            raise TooLargeError(too_large)
        parts: list[bytes] = []
        total = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for part in request.stream():
                    total += len(part)
                    if total > limit:
                        raise TooLargeError(too_large)
                    held.more(len(part))
                    parts.append(part)
        except TimeoutError as error:
            raise BodyTimeoutError(f"the body did not arrive within {self._limits.body_seconds:g} s") from error
        return b"".join(parts)

    def _take(self, signal: Signal, body: bytes, content_type: str, encoding: str, held: Held) -> Message:
        payload = decompress(body, encoding, self._limits.decompressed_bytes, held.more)
        if len(payload) > self._limits.decompressed_bytes:
            raise TooLargeError(f"the body is over the limit of {self._limits.decompressed_bytes} bytes")
        if content_type == JSON:
            held.more(_JSON_WEIGHT * len(payload))
            payload = to_protobuf(signal, payload)
        response: Message = self._intake.take(signal, payload)
        return response


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", "")
    match given.partition(";")[0].strip().lower():
        case "application/x-protobuf" | "application/protobuf":
            return PROTOBUF
        case "application/json":
            return JSON
        case _:
            raise UnsupportedError(f"content type {given[:80]!r} is not known; send {PROTOBUF} or {JSON}")


def _refusal(refusal: Refusal, content_type: str) -> Response:
    """A ``google.rpc.Status`` body (OTLP 1.x, "OTLP/HTTP Response")."""
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    # Not all of the body may have been read: the connection cannot be used again.
    headers["Connection"] = "close"
    status = Status(code=refusal.grpc, message=refusal.message)
    return _answer(status, refusal.http, content_type, headers)


def _nothing_there(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict((error.headers if isinstance(error, HTTPException) else None) or {})
    message = (
        "logs are not taken here: send traces and metrics"
        if request.url.path == "/v1/logs"
        else f"{request.method} {request.url.path[:80]} is nothing here: POST to /v1/traces or /v1/metrics"
    )
    try:
        content_type = _content_type(request)
    except MalformedError:
        content_type = JSON
    return _answer(Status(code=12, message=message), code, content_type, headers)


def _answer(message: Message, code: int, content_type: str, headers: dict[str, str]) -> Response:
    body = json_format.MessageToJson(message).encode() if content_type == JSON else message.SerializeToString()
    return Response(body, code, headers, media_type=content_type)
