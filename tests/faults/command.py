"""Starts ``edgepath`` with what only a test may change.

``python -m tests.faults.command [--stale-blocks N] [--mutant NAME] -- ARGUMENTS``

Metrics are stored every second: nobody wants to wait for them here. A world that gives its tables a small deduplication window
must tell its consumers, who trust the schema's: ``--stale-blocks``.
"""

import argparse
import sys
from functools import partial

from telemetry.app import consume
from telemetry.pipeline.settings import MetricPipelineSettings
from tests.faults.mutants import MUTANTS, trust_window


def command(stale_blocks: int | None = None, mutant: str = "") -> tuple[str, ...]:
    """How such a consumer is started; its own arguments follow. To be run in the checkout's directory."""
    options = [
        *(["--stale-blocks", str(stale_blocks)] if stale_blocks else []),
        *(["--mutant", mutant] if mutant else []),
    ]
    return (sys.executable, "-m", "tests.faults.command", *options, "--")


def main() -> None:
    """Change what is to be changed, then be ``edgepath``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stale-blocks", type=int)
    parser.add_argument("--mutant", choices=MUTANTS)
    parser.add_argument("rest", nargs="*")
    arguments = parser.parse_args()
    # Metrics are flushed as often as paths, so that a fault meets their inserts, too.
    vars(consume)["MetricPipelineSettings"] = partial(MetricPipelineSettings, flush_seconds=1.0)
    if arguments.stale_blocks is not None:
        trust_window(arguments.stale_blocks)
    if arguments.mutant:
        MUTANTS[arguments.mutant].apply()
    from telemetry.cli import main as edgepath  # noqa: PLC0415 - takes over what was changed above

    sys.argv = ["edgepath", *arguments.rest]
    edgepath()


if __name__ == "__main__":
    main()
