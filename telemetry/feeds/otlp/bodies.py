"""HTTP bodies: decompression that stops at a limit."""

import io
import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from telemetry.errors import MalformedError
from telemetry.feeds.otlp.intake import TooLargeError, UnsupportedError

_STEP: Final = 256 * 1024


def decompress(body: bytes, encoding: str, limit: int, grown: Callable[[int], None]) -> bytes:
    """``body`` without its content encoding (RFC 9110, 8.4).

    Args:
        body: as it came.
        encoding: the ``Content-Encoding`` header; empty for none.
        limit: the most bytes that may come out; no more than about that many are ever made.
        grown: told how many bytes came out in each step; may raise to stop.

    Raises:
        UnsupportedError: an encoding that is not known.
        TooLargeError: more than ``limit`` bytes come out.
        MalformedError: the bytes are not in that encoding, or end too early.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _inflate(body, 16 + zlib.MAX_WBITS, "gzip", limit, grown)
        case "deflate":
            return _inflate(body, zlib.MAX_WBITS, "deflate", limit, grown)
        case "zstd":
            return _zstd(body, limit, grown)
        case other:
            raise UnsupportedError(f"content encoding {other[:40]!r} is not known; send gzip, deflate, zstd or none")


def _inflate(body: bytes, window: int, name: str, limit: int, grown: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    total = 0
    rest = body
    try:
        while rest:  # a gzip body may have several members (RFC 1952, 2.2)
            stream = zlib.decompressobj(window)
            while not stream.eof:
                part = stream.decompress(rest, _STEP)
                rest = stream.unconsumed_tail
                total = _grow(parts, part, total, limit, grown)
                if not part and not rest and not stream.eof:
                    raise MalformedError(f"the {name} body ends too early")
            rest = stream.unused_data
    except zlib.error as error:
        raise MalformedError(f"the body is not {name}: {error}") from error
    return b"".join(parts)


def _zstd(body: bytes, limit: int, grown: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    total = 0
    try:
        # The window is what a hostile header can make the decoder allocate (RFC 8878, 3.1.1.1.2 recommends 8 MiB).
        decoder = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)
        with decoder.stream_reader(io.BytesIO(body), read_across_frames=True) as stream:
            while part := stream.read(_STEP):
                total = _grow(parts, part, total, limit, grown)
    except zstandard.ZstdError as error:
        raise MalformedError(f"the body is not zstd: {error}") from error
    return b"".join(parts)


def _grow(parts: list[bytes], part: bytes, total: int, limit: int, grown: Callable[[int], None]) -> int:
    total += len(part)
    if total > limit:
        raise TooLargeError(f"the body is over the limit of {limit} bytes after decompression; send smaller batches")
    grown(len(part))
    parts.append(part)
    return total
