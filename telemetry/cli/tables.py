"""Tables on the terminal, and the words in them."""

import sys

from rich.console import Console


def console() -> Console:
    """Where tables go. Into a pipe or a file, lines are not cut to 80 columns."""
    return Console(width=None if sys.stdout.isatty() else 160)


def span(seconds: float) -> str:
    """A length of time in its two largest units; negative ones with their sign."""
    whole = int(abs(seconds))
    days, hours, minutes, rest = whole // 86_400, whole // 3600 % 24, whole % 3600 // 60, whole % 60
    pairs = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    shown = [f"{n}{unit}" for n, unit in pairs if n][:2] or ["0s"]
    return ("-" if seconds < 0 else "") + " ".join(shown)
