"""Who is paged, out of files that hold one secret each: read, checked, and never shown."""

import json
import logging
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from alerts import notify, peer_http
from telemetry.app import settings as app_settings
from telemetry.cli import cleaning, logs
from telemetry.cli.group import edgepath
from telemetry.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
RECEIVERS = [
    ("webhook", "https://user:pw-hook@example.org/p?key=pw-query"),
    ("alertmanager", "http://user:pw-am@am:9093/am"),
    ("pagerduty", "pw-pagerduty-key"),
    ("slack", "https://hooks.example/services/T0/pw-slack"),
    ("heartbeat", "https://hc.example/pw-beat"),
    ("peer", "http://user:pw-peer@watch-2:9465"),
]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    yield
    cleaning.forget()
    logs.configure("warning", "text")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What reaches each kind of receiver; the watcher ends before it begins anything."""
    seen: dict[str, list[str]] = {}

    def take(kind: str) -> Any:
        def maker(value: str, *_: Any, **__: Any) -> object:
            seen.setdefault(kind, []).append(value)
            return object()

        return maker

    def stop(*_: Any) -> Any:
        raise ConfigurationError("far enough")

    for kind in ("webhook", "alertmanager", "pagerduty", "slack"):
        monkeypatch.setattr(notify, kind, take(kind))
    monkeypatch.setattr(notify, "heartbeat", take("heartbeat"))
    monkeypatch.setattr(notify, "CallbackNotifier", take("screen"))
    monkeypatch.setattr("telemetry.store.later.LaterStore", stop)
    monkeypatch.setattr(peer_http, "asking", take("peer"))
    return seen


def told(*arguments: str, **variables: str) -> Result:
    """What the command says, in this process."""
    return CliRunner().invoke(edgepath, list(arguments), prog_name="edgepath", env=variables)


def held(folder: Path, name: str, text: str, mode: int = 0o600) -> str:
    """A file with a secret."""
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(("kind", "value"), [each for each in RECEIVERS if each[0] != "peer"])
@pytest.mark.parametrize("end", ["", "\n", " \r\n\n"])
def test_a_file_gives_what_an_option_would(
    tmp_path: Path, taken: dict[str, list[str]], kind: str, value: str, end: str
) -> None:
    """Its first line, without what ends it; by option, variable and settings file, and several of them."""
    one, two = held(tmp_path, "one", f"{value}{end}"), held(tmp_path, "two", f"{value}2\nanother line\n")
    file = held(tmp_path, "edgepath.toml", f'[pages]\n{kind}-file = ["one", "two"]\n')
    for arguments, variables in (
        ((f"--{kind}-file", one, f"--{kind}-file", two), {}),
        ((), {f"EDGEPATH_{kind.upper()}_FILE": f"{one}:{two}"}),
        (("--config", file), {}),
    ):
        taken.clear()
        result = told("watch", "--no-watchdog", *arguments, **variables)
        assert "far enough" in result.output
        assert taken[kind] == [value, f"{value}2"]


def test_another_watchers_address_may_be_in_a_file(tmp_path: Path) -> None:
    """What is wrong with its content is told before anything is begun."""
    path = held(tmp_path, "peer", "watch-2:9465\n")
    result = told("watch", "--peer-file", path)
    assert (result.exit_code, result.output) == (
        2,
        f"Error: --peer-file {path} does not hold a URL, such as https://HOST/PATH\n",
    )


@pytest.mark.parametrize(("kind", "value"), RECEIVERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty: its first line must be the secret"),
        (b"\n", "is empty: its first line must be the secret"),
        (b" \t\nx", "is empty: its first line must be the secret"),
        (b"\xff", "does not hold text in UTF-8"),
        (b"pw-of another kind\n", "does not hold a"),
    ],
)
def test_a_file_that_has_none(tmp_path: Path, kind: str, value: str, content: bytes | None, message: str) -> None:
    """Status 2, and which file; nothing of what it holds, which may be a secret of something else."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    result = told("watch", f"--{kind}-file", str(path))
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert f"--{kind}-file {path} {message}" in result.output
    assert "pw-" not in result.output
    assert value not in result.output


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """As a mount that holds several secrets is."""
    result = told("watch", "--slack-file", str(tmp_path))
    assert result.exit_code == 2
    assert f"--slack-file {tmp_path} cannot be read: Is a directory" in result.output


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "alertmanager"])
def test_both_at_once(tmp_path: Path, taken: dict[str, list[str]], kind: str) -> None:
    """Equally strong ones contradict each other; else the stronger one counts, as everywhere."""
    value = dict(RECEIVERS)[kind]
    path = held(tmp_path, "secret", f"{value}-from-file")
    result = told("watch", f"--{kind}", value, f"--{kind}-file", path)
    assert result.exit_code == 2
    assert f"[pages] {kind} and {kind}-file are both given" in result.output
    assert f"variables EDGEPATH_{kind.upper()} and EDGEPATH_{kind.upper()}_FILE" in result.output
    assert "pw-" not in result.output
    told("watch", f"--{kind}-file", path, **{f"EDGEPATH_{kind.upper()}": value})
    assert taken.pop(kind)[-1] == f"{value}-from-file"
    told("watch", f"--{kind}", value, **{f"EDGEPATH_{kind.upper()}_FILE": path})
    assert taken.pop(kind)[-1] == value


def test_none_is_shown(tmp_path: Path, taken: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Not by --show-config, nor in messages, nor in the logs from then on, whoever writes them and in whatever form."""
    arguments = [each for kind, value in RECEIVERS for each in (f"--{kind}-file", held(tmp_path, kind, f"{value}\n"))]
    result = told("watch", *arguments, "--show-config")
    assert "pw-" not in result.output
    assert tomllib.loads(result.output)["pages"]["slack-file"] == [str(tmp_path / "slack")]
    result = told("watch", *arguments, "--log-format", "json")
    assert "far enough" in result.output
    assert "pw-" not in result.output
    assert taken["slack"] == [dict(RECEIVERS)["slack"]], "or nothing was read"
    logs.configure("debug", "json")
    for _, value in RECEIVERS:
        logging.getLogger("any").error("posting to %s: %r", value, {"url": value})
        logging.getLogger("any").error("x", extra={"where": value})
    lines = capsys.readouterr().err.splitlines()
    assert len([json.loads(line) for line in lines]) == 2 * len(RECEIVERS)
    assert "pw-" not in "".join(lines)


def test_a_file_that_everybody_can_read(tmp_path: Path, taken: dict[str, list[str]]) -> None:
    """Works, with a warning; an address without a password is no secret."""
    slack = held(tmp_path, "slack", dict(RECEIVERS)["slack"], 0o644)
    result = told("watch", "--slack-file", slack)
    assert taken["slack"] == [dict(RECEIVERS)["slack"]]
    assert f"{slack} holds a secret and can be read by everybody on this machine: chmod o-r {slack}" in result.output
    am = held(tmp_path, "am", "http://am:9093", 0o644)
    assert "everybody" not in told("watch", "--alertmanager-file", am).output


def test_everything_in_one_process_reads_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``edgepath up``."""
    made: list[Any] = []

    def settings(**given: Any) -> Any:
        made.append(given)
        raise ConfigurationError("far enough")

    monkeypatch.setattr(app_settings, "UpSettings", settings)
    hook = held(tmp_path, "hook", f"{dict(RECEIVERS)['webhook']}\n")
    assert "far enough" in told("up", "--webhook-file", hook, "--alertmanager", "http://am:9093").output
    assert (made[0]["webhooks"], made[0]["alertmanagers"]) == ((dict(RECEIVERS)["webhook"],), ("http://am:9093",))
