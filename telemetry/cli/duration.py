"""Durations on the command line."""

import re
from typing import Any

import click

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``5m``, ``2h``, ``1d``: seconds as a float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", str(value).strip())
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a duration; write for example 150s, 5m or 2h", param, ctx)
        return float(match[1]) * _UNITS[match[2] or "s"]
