"""The files of the journal. A segment is named for the offset of its first record."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from telemetry.errors import EdgepathError, OverloadedError, UnavailableError
from telemetry.feeds.journal.frames import MAGIC, unpack

_SUFFIX: Final = ".segment"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_RETRY_SECONDS: Final = 5.0


@dataclass
class Segment:
    """One file of frames.

    Attributes:
        path: where it lies.
        base: the offset of its first record.
        size: how many bytes of it count; what lies behind was never acknowledged.
        fd: open for reading and, when it is the last one, for appending.
    """

    path: Path
    base: int
    size: int
    fd: int

    def append(self, data: bytes) -> None:
        """Write behind what counts. It counts, and outlives a power cut, only after :meth:`sync`."""
        view = memoryview(data)
        written = 0
        while written < len(data):
            written += os.pwrite(self.fd, view[written:], self.size + written)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fdatasync(self.fd)

    def cut(self) -> None:
        """Take away what does not count."""
        os.ftruncate(self.fd, self.size)

    def read(self, place: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``place``, of those that count."""
        return os.pread(self.fd, max(0, min(size, self.size - place)), place)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)

    def delete(self) -> None:
        """Let go of the file and remove it."""
        os.close(self.fd)
        self.path.unlink(missing_ok=True)


def create(directory: Path, base: int) -> Segment:
    """A new, empty segment whose first record will be ``base``. One of that name, without records that count, is replaced."""
    path = directory / f"{base:020d}{_SUFFIX}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    segment = Segment(path, base, 0, fd)
    try:
        segment.append(MAGIC)
        segment.size = len(MAGIC)
        segment.sync()
        sync_directory(directory)
    except OSError:
        segment.delete()
        raise
    return segment


def existing(directory: Path) -> list[Segment]:
    """The segments in ``directory``, in order."""
    paths = sorted(path for path in directory.glob(f"*{_SUFFIX}") if path.stem.isdigit())
    return [
        Segment(path, int(path.stem), path.stat().st_size, os.open(path, os.O_RDWR | os.O_CLOEXEC)) for path in paths
    ]


def find_end(segment: Segment, partition: int, step: int = 16 * 1024 * 1024) -> tuple[int, int]:
    """Where the whole records of ``segment`` end, and the offset after the last of them."""
    if segment.read(0, len(MAGIC)) != MAGIC:
        return 0, segment.base
    place, following = len(MAGIC), segment.base
    size = step
    while place < segment.size:
        data = segment.read(place, size)
        end = 0
        for record, record_end in unpack(data, partition):
            end, following = record_end, record.offset + 1
        place += end
        if end == 0:
            if size >= segment.size - place:
                break
            size = segment.size - place  # one frame larger than a step
        else:
            size = step
    return place, following


def sync_directory(directory: Path) -> None:
    """Make new and renamed names in ``directory`` outlive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, content: bytes) -> None:
    """Write ``path`` so that, whatever happens, it has its old content or all of the new one."""
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)
    sync_directory(path.parent)


def translated(error: OSError, directory: Path, what: str) -> EdgepathError:
    """A file system's error as one of ours: a full disk is backpressure, all else is a part that does not answer."""
    if error.errno in _FULL:
        return OverloadedError(f"{what}: no space left in {directory}; free some", _FULL_RETRY_SECONDS)
    return UnavailableError(f"{what}: {directory}: {error.strerror or error}")
