"""The options that say which SLOs and which policy are meant, the same for every command that evaluates them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from telemetry.cli.settings import setting

_F = TypeVar("_F", bound=Callable[..., Any])

slos_option = setting(
    "--slos",
    table="slo",
    key="files",
    type=click.Path(path_type=Path),
    multiple=True,
    envvar="EDGEPATH_SLOS",
    help="SLO file or directory; may be repeated; the shipped ones if not given.",
)
policy_option = setting(
    "--policy",
    table="slo",
    envvar="EDGEPATH_POLICY",
    metavar="NAME",
    default="workbook",
    help="Burn-rate policy: a shipped one's name, or a file.",
)


def slo_options(command: _F) -> _F:
    """``slos``, a tuple of paths, and ``policy``."""
    return slos_option(policy_option(command))
