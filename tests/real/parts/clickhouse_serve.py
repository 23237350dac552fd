"""Runs ClickHouse out of libchdb.so until its query ends or a signal comes: ``python clickhouse_serve.py LIBRARY OPTION...``.

The options are those of ``clickhouse-local``. ``query_stable_v2`` returns when the query ends, with a result that holds
the error if there was one (chDB's C interface, ``chdb.h``, ``struct local_result_v2``).
"""

import ctypes
import sys


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


def main(library: str, *options: str) -> int:
    """Run the library; 1 if it reports an error."""
    arguments = [b"clickhouse", *(option.encode() for option in options)]
    entry = ctypes.CDLL(library).query_stable_v2
    entry.restype = ctypes.POINTER(_Result)
    result = entry(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
    error = result.contents.error if result else b"no result"
    if error:
        sys.stderr.write(error.decode(errors="replace") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
