"""``docs/settings.md``: every setting, out of the catalogue. ``python -m telemetry.cli.settings.reference`` prints it; a test
keeps it current."""

import sys
from typing import Final

from telemetry.cli.settings.catalogue import Entry, catalogue
from telemetry.cli.settings.file import kind
from telemetry.cli.settings.setting import Secret
from telemetry.cli.settings.show import toml

_HEAD: Final = """\
# Settings

Made by `python -m telemetry.cli.settings.reference > docs/settings.md` from what the commands declare.

A setting is given, in falling strength, by an option of the command, by an environment variable, by the settings file, or it
has its default. `--show-config` prints the settings in effect, each with where it comes from; what it prints is a settings
file itself.

```sh
edgepath consume --config /etc/edgepath/edgepath.toml     # or EDGEPATH_CONFIG; no file is read that was not named
edgepath consume --config /etc/edgepath/edgepath.toml --show-config
```

```toml
[log]
format = "json"

[kafka]
bootstrap = "kafka-1:9093,kafka-2:9093"
security = "sasl_ssl"
user = "edgepath"
password-file = "/run/secrets/kafka-password"
ca = "kafka-ca.pem"

[clickhouse]
url = "clickhouses://clickhouse.internal:9440/edgepath"
user = "edgepath"
password-file = "/run/secrets/clickhouse-password"

[consume]
group = "edgepath"
grace = "10s"
observe = "0.0.0.0:9464"
```

The file is TOML: a table for what commands share, and one for each command. It is checked whole, whichever command reads it;
a mistake is told with its line and the mend, and nothing is begun. Paths in it are relative to the file. Variables that take
several values have them with spaces between; paths, with colons.

**Secrets.** Passwords have no option, because a command line can be read by everybody on the machine. Give them by a file
(its first line), by a variable, or in the settings file. A file with secrets that everybody can read is told of in the log.
Secrets are never shown: not by `--show-config`, not in messages, not in logs at any level. They are read at the start: a new
one needs a restart.

Who is paged may be a secret, too (a key, the path of a URL, a password in it): each such option has a twin that names a file,
`--slack-file` for `--slack`. A file holds one secret, its first line, as clusters and systemd (`LoadCredential=`) mount them;
for several, name several files. A secret that is given equally strongly in both ways is a mistake, and nothing is begun.

**Logs.** Logs go to standard error, what a command does to standard output. With `--log-format json` both are one JSON object
a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`; `fields` and `exception` if there are any. Card numbers and
secrets are taken out of all of it (what is wrong with the command line itself is told as text). `--log-level info` or `debug`
brings the libraries' logs, too, kafka-python's among them.

**Exit status.** 0: an orderly end, also by SIGTERM or Ctrl-C. 1: something failed, or was found (`verify`, `slo check`, `slo
drill`). 2: options or settings are wrong; nothing was begun, and starting again without a change is of no use. A second
signal ends a command at once, with that signal's status (in a shell, 130 for SIGINT and 143 for SIGTERM). The first signal
stops `consume` in order: what is due is stored (for `--drain` at most), offsets are committed, and it leaves its group, so
that others take over at once. `watch` ends with status 1 if ClickHouse does not answer within its `--drain`; the next one goes
on with its alerts.
"""
_SHARED: Final = {
    "kafka": "How Kafka is reached.",
    "clickhouse": "Where ClickHouse is, and who we are there.",
    "slo": "Which SLOs, by which policy.",
    "pages": "Who is paged.",
    "log": "What is logged.",
}


def page() -> str:
    """The whole page."""
    known = catalogue()
    own = [table for table in known if table not in _SHARED]
    lines = [_HEAD]
    for table in (*_SHARED, *own):
        entries = known[table].values()
        commands = tuple(dict.fromkeys(name for entry in entries for name in entry.commands))
        of = ", ".join(f"`{name}`" for name in commands)
        lines += [f"## [{table}]", "", f"{_SHARED.get(table, 'Its own.')} Read by {of}.", ""]
        lines += ["| key | option | variable | value | default | meaning |", "|---|---|---|---|---|---|"]
        lines += [_row(entry, commands) for entry in entries]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(entry: Entry, commands: tuple[str, ...]) -> str:
    setting = entry.setting
    flags = (
        "none" if setting.unflagged else " / ".join(f"`{each}`" for each in (*setting.opts, *setting.secondary_opts))
    )
    value = kind(setting).removesuffix(", in quotes")
    if setting.multiple:
        value = f"list of {value.removeprefix('a ')}{'s' if value == 'a path' else ''}"
    if setting.secret is not Secret.NO:
        value += " (secret)"
    meaning = (setting.help or "").replace("|", "\\|")
    if lacking := [name for name in commands if name not in entry.commands]:
        some = lacking if len(lacking) < len(entry.commands) else entry.commands
        meaning += f" ({'Not ' if some is lacking else ''}{', '.join(f'`{name}`' for name in some)}.)"
    return f"| `{setting.key}` | {flags} | `{setting.variable}` | {value} | {_default(entry)} | {meaning} |"


def _default(entry: Entry) -> str:
    setting = entry.setting
    if setting.required:
        return "must be given"
    if isinstance(setting.show_default, str):
        return setting.show_default
    value = setting.default
    # click has a mark of its own for "no default"
    if value is None or value in ("", ()) or type(value).__module__.startswith("click"):
        return ""
    return f"`{toml(setting, value)}`".replace('"', "")


if __name__ == "__main__":
    sys.stdout.write(page())
