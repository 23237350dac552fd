"""What stands where something was taken out."""

from typing import Final

CARD: Final = "[card]"
"""In place of a card number, or track data."""
SECRET: Final = "[secret]"
"""In place of a password, token, key, cookie, security code or PIN."""
