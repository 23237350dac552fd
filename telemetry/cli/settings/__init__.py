"""Settings of commands: declared once, as click options; given by option, variable or file; checked, shown, documented."""

from telemetry.cli.settings.command import Configured
from telemetry.cli.settings.setting import Secret, Setting, SettingsError, setting

__all__ = ["Configured", "Secret", "Setting", "SettingsError", "setting"]
