"""What stands where something was taken out."""

from typing import Final

CARD: Final = "[card]"
"""In place of a card number, or track data."""
SECRET: Final = "[secret]"  # noqa: S105 - it stands in place of one
"""In place of a password, token, key, cookie, security code or PIN."""
