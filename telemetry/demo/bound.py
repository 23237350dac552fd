"""Run a command that dies with the process that started it.

A script of its own that imports nothing of ours, so that it starts in milliseconds.

Usage: ``python bound.py PARENT_PID COMMAND [ARGUMENT...]``. It becomes the command, so the process id stays the same.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across execve(2)


def main() -> None:
    """Bind this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the binding stood
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the whole purpose; the command is a list, no shell is involved


if __name__ == "__main__":
    main()
