"""Runs ClickHouse out of libchdb.so until its query ends or a signal comes: ``python clickhouse_serve.py LIBRARY OPTION...``.

The options are those of ``clickhouse-local``. ``query_stable_v2`` returns when the query ends, with a result that holds
the error if there was one (chDB's C interface, ``chdb.h``, ``struct local_result_v2``).

A script of its own that imports nothing of ours: it starts in milliseconds.
"""

import ctypes
import mmap
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_POINTER = struct.Struct("<Q")
_PROT_READ, _PROT_WRITE = 1, 2
# Itanium C++ ABI, vtables: offset to top, type info, then the virtual functions; here two destructors and three
# `exception(...)`, for a Poco::Exception, a std::exception and anything else.
_DESTRUCTORS, _HANDLERS = 2, 3


class _Result(ctypes.Structure):
    _fields_ = (
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("vector", ctypes.c_void_p),
        ("elapsed", ctypes.c_double),
        ("rows_read", ctypes.c_uint64),
        ("bytes_read", ctypes.c_uint64),
        ("error", ctypes.c_char_p),
    )


class _Image:
    """The library as it is mapped into this process."""

    def __init__(self, library: str) -> None:
        self.data: list[tuple[int, bytes]] = []  # address and content of what relocations have been applied to
        self._file: list[tuple[int, int, int]] = []  # offset in the file, address, size
        code_seen = False
        for line in Path("/proc/self/maps").read_text().splitlines():
            addresses, flags, offset, _, _, *path = line.split(maxsplit=5)
            if path != [library]:
                continue
            start, end = (int(each, 16) for each in addresses.split("-"))
            self._file.append((int(offset, 16), start, end - start))
            if "x" in flags:
                code_seen = True
            elif code_seen:  # constants lie before the code, what is relocated after it
                self.data.append((start, ctypes.string_at(start, end - start)))
        with Path(library).open("rb") as handle:
            self._bytes = mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ)

    def text(self, text: bytes) -> int:
        """Address of a whole zero-terminated string."""
        place = self._bytes.find(b"\0" + text + b"\0") + 1
        for offset, start, size in self._file:
            if place and offset <= place < offset + size:
                return start + place - offset
        raise LookupError(f"{text.decode()} is not in the library")

    def pointers(self, address: int) -> Iterator[int]:
        """Addresses of the words that point to ``address``."""
        wanted = _POINTER.pack(address)
        for start, content in self.data:
            place = content.find(wanted)
            while place >= 0:
                if (start + place) % 8 == 0:
                    yield start + place
                place = content.find(wanted, place + 1)

    def functions(self, name: bytes) -> int:
        """Address of the first virtual function of the class with this mangled name."""
        for named in self.pointers(self.text(name)):
            for table in self.pointers(named - 8):  # a type info is a vtable pointer, then the name
                if ctypes.string_at(table - 8, 8) == bytes(8):  # offset to top
                    return table + 8
        raise LookupError(f"the class {name.decode()} has no table of functions")


def keep_running_after_connection_errors(library: str) -> None:
    """Give the error handler of ``clickhouse-local`` the behaviour of a server's.

    clickhouse-local installs ``KillingErrorHandler``: a wrong password, a reset connection or garbage on the native port
    ends the whole process. A server logs those and goes on. Overwrites the handler's three functions with those of its
    base class ``Poco::ErrorHandler``, which do nothing.

    Raises:
        LookupError: the library is built otherwise.
    """
    image = _Image(library)
    first = image.functions(b"19KillingErrorHandler") + 8 * _DESTRUCTORS
    base = image.functions(b"N4Poco12ErrorHandlerE") + 8 * _DESTRUCTORS
    page = first & -mmap.PAGESIZE
    length = first + 8 * _HANDLERS - page
    libc = ctypes.CDLL(None, use_errno=True)
    for protection in (_PROT_READ | _PROT_WRITE, _PROT_READ):
        if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(length), protection):
            raise OSError(ctypes.get_errno(), "mprotect")
        if protection & _PROT_WRITE:
            ctypes.memmove(first, base, 8 * _HANDLERS)


def main(library: str, *options: str) -> int:
    """Run the library; 1 if it reports an error."""
    arguments = [b"clickhouse", *(option.encode() for option in options)]
    entry = ctypes.CDLL(library).query_stable_v2
    keep_running_after_connection_errors(library)
    entry.restype = ctypes.POINTER(_Result)
    result = entry(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
    error = result.contents.error if result else b"no result"
    if error:
        sys.stderr.write(error.decode(errors="replace") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
