"""Records that cannot be decoded, kept as files so that a person can look at them."""

import json
import os
from pathlib import Path
from typing import Final

from telemetry.feeds.base import Record
from telemetry.feeds.journal.segments import replace, translated

_PAYLOAD: Final = ".otlp"
_REASON: Final = ".json"


class DeadLetters:
    """``<offset>.otlp`` with the bytes, ``<offset>.json`` with the reason. Used by one thread.

    Args:
        directory: where they lie; made with the first one.
        max_bytes: the bound on their sizes together; the oldest go first.
    """

    def __init__(self, directory: Path, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self.put = 0
        """How many were put aside since the start."""
        self.removed = 0
        """How many were removed since the start to make room, or because they were larger than the bound alone."""

    def add(self, record: Record, reason: str) -> None:
        """Put ``record`` aside.

        Raises:
            OverloadedError: the disk is full.
            UnavailableError: the directory cannot be written.
        """
        note = {
            "partition": record.partition,
            "offset": record.offset,
            "arrival_ms": record.arrival_ms,
            "bytes": len(record.value),
            "reason": reason,
        }
        text = (json.dumps(note, indent=1) + "\n").encode()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            payload = record.value
            if len(payload) + len(text) > self._max_bytes:
                payload = b""
                self.removed += 1
            self._make_room(self._max_bytes - len(payload) - len(text))
            # The same offset may come again after a restart: its file is replaced.
            replace(self._directory / f"{record.offset:020d}{_PAYLOAD}", payload)
            replace(self._directory / f"{record.offset:020d}{_REASON}", text)
        except OSError as error:
            raise translated(error, self._directory, "cannot put a bad record aside") from error
        self.put += 1

    def _make_room(self, allowed: int) -> None:
        files = {path: path.stat().st_size for path in self._directory.iterdir() if path.suffix in {_PAYLOAD, _REASON}}
        total = sum(files.values())
        for path in sorted((path for path in files if path.suffix == _REASON), key=os.path.getmtime):
            if total <= allowed:
                return
            for part in (path.with_suffix(_PAYLOAD), path):
                total -= files.get(part, 0)
                part.unlink(missing_ok=True)
            self.removed += 1
