"""Durations on the command line."""

import re
from typing import Any

import click

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``5m``, ``2h``, ``1d``: seconds as a float."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        """With ``zero``, no time at all is one, too."""
        self._zero = zero

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """What stands for it in help."""
        return "TIME"

    @staticmethod
    def text(seconds: float) -> str:
        """As it is written."""
        return f"{seconds:.12g}s"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", str(value).strip())
        if not match or (float(match[1]) <= 0 and not self._zero):
            self.fail(f"{value!r} is not a duration; write for example 150s, 5m or 2h", param, ctx)
        return float(match[1]) * _UNITS[match[2] or "s"]
