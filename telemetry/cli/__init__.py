"""The ``edgepath`` command. Needs the extra ``pipeline``; the base install (the SDK) has the entry point to say so."""

import sys


def main() -> None:
    """Entry point of the ``edgepath`` command."""
    try:
        import click  # noqa: F401, PLC0415 - not part of the base install
    except ImportError:
        sys.exit("edgepath: this install has the SDK alone. For the command: pip install 'edgepath[pipeline]'")
    from telemetry.cli.group import edgepath  # noqa: PLC0415

    edgepath(prog_name="edgepath")
