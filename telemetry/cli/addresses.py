"""Addresses to listen on, as they are typed."""

import click


def address(text: str) -> tuple[str, int] | None:
    """``HOST:PORT`` of ``--observe``, or None for ``off``.

    Raises:
        click.BadParameter: it is neither.
    """
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT such as 127.0.0.1:9464, nor 'off'", param_hint="--observe")
    return host.strip("[]"), int(port)
