"""The ``edgepath`` command."""


def main() -> None:
    """Entry point."""
