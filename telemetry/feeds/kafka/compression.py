"""The compressions that Kafka's producers use, undone within a bound: a batch of 1 MB can hold one of 1 GB."""

import struct
import zlib
from typing import Any, Final

import cramjam
import lz4.frame
import zstandard

from telemetry.errors import MalformedError

BATCH_BYTES: Final = 64 * 1024 * 1024
"""The largest batch after decompression. Brokers take batches of 1 MB if not told otherwise; spans shrink 10 to 50 times."""

_NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_TOO_LARGE: Final = "it is too large after decompression"
_XERIAL: Final = b"\x82SNAPPY\x00"  # snappy-java's framing, which most clients write; the others write raw snappy
_XERIAL_HEADER: Final = 16
_INT: Final = struct.Struct(">i")
_STEP: Final = 1024 * 1024


def decompress(codec: int, data: bytes | memoryview, limit: int = BATCH_BYTES) -> bytes | memoryview:
    """The records of a batch.

    Args:
        codec: bits 0 to 2 of a batch's attributes: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
        data: as it stands in the batch.
        limit: the most bytes that may come out; not many more are ever made.

    Raises:
        MalformedError: it is not in that codec, ends too early, or is larger.
    """
    if codec == 0:
        return data
    if codec >= len(_NAMES):
        raise MalformedError(f"compression {codec} is not one that Kafka knows")
    try:
        return (_gzip, _snappy, _lz4, _zstd)[codec - 1](bytes(data), limit)
    except (
        zlib.error,
        struct.error,
        RuntimeError,
        ValueError,
        EOFError,
        cramjam.DecompressionError,
        zstandard.ZstdError,
    ) as error:
        raise MalformedError(f"it is not {_NAMES[codec]}: {' '.join(str(error).split())[:200]}") from error


def _gzip(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    rest = data
    while rest:  # gzip may have several members (RFC 1952, 2.2)
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        limit = _drain(stream, rest, parts, limit)
        rest = stream.unused_data
    return _joined(parts)


def _lz4(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    rest = data
    while rest:
        stream = lz4.frame.LZ4FrameDecompressor()
        limit = _drain(stream, rest, parts, limit)
        rest = stream.unused_data or b""
    return _joined(parts)


def _drain(stream: Any, rest: bytes, parts: list[bytes], room: int) -> int:
    """Decompress one stream onto ``parts``, in steps, for some decoders make room for all that they are allowed."""
    step = min(max(_STEP, 8 * len(rest)), room + 1)
    while not stream.eof:
        part = stream.decompress(rest, step)
        rest = getattr(stream, "unconsumed_tail", b"")  # lz4 keeps it to itself
        room -= len(part)
        if room < 0:
            raise MalformedError(_TOO_LARGE)
        if not part and not rest and not stream.eof:
            raise MalformedError("it ends too early")
        parts.append(part)
    return room


def _joined(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _snappy(data: bytes, limit: int) -> bytes:
    if not data.startswith(_XERIAL):
        return _snappy_block(data, limit)
    parts: list[bytes] = []
    place = _XERIAL_HEADER
    while place < len(data):
        (size,) = _INT.unpack_from(data, place)
        place += _INT.size
        if size < 0 or place + size > len(data):
            raise MalformedError("it ends too early")
        part = _snappy_block(data[place : place + size], limit)
        limit -= len(part)
        parts.append(part)
        place += size
    return _joined(parts)


def _snappy_block(data: bytes, limit: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(data) > limit:
        raise MalformedError(_TOO_LARGE)
    return bytes(cramjam.snappy.decompress_raw(data))


def _zstd(data: bytes, limit: int) -> bytes:
    size = zstandard.frame_content_size(data)  # -1 if the frame does not say
    if size > limit:
        raise MalformedError(_TOO_LARGE)
    # The window is what a hostile header can make the decoder allocate: 128 MiB is what zstd's own tools allow.
    decoder = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024)
    parts: list[bytes] = []
    with decoder.stream_reader(data, read_across_frames=True) as stream:
        while part := stream.read(_STEP):
            limit -= len(part)
            if limit < 0:
                raise MalformedError(_TOO_LARGE)
            parts.append(part)
    return _joined(parts)
