"""Names that go into keys, labels and the first line of pages."""

import re
from typing import Any, Final

import click

_LONGEST: Final = 40
_PLAIN: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}")


class Name(click.ParamType[str]):
    """A short, plain name; may be empty, for none."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if it is one."""
        if value and not _PLAIN.fullmatch(str(value)):
            self.fail(
                f"{value!r} is not a plain name: write up to {_LONGEST} letters, digits, dots, - and _, "
                "a letter or digit first",
                param,
                ctx,
            )
        return str(value)
