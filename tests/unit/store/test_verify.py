"""``verify`` on the embedded store, and its command."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from telemetry.cli.group import edgepath
from telemetry.store.base import Store
from telemetry.store.embedded import EmbeddedStore
from telemetry.store.recount import hours
from tests.support.verify_contract import VerifyContract, fill


@pytest.fixture
def store(embedded_store: EmbeddedStore) -> Store:
    """A new database with the schema."""
    return embedded_store


class TestVerifyEmbedded(VerifyContract):
    """In this process."""


class Kept(EmbeddedStore):
    """A store that a command may close: the test's engine goes on."""

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def opened(embedded_store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> EmbeddedStore:
    """What a command opens is the test's store."""
    monkeypatch.setattr("telemetry.store.open_store", lambda *_: Kept(embedded_store._engine, owns_engine=False))
    monkeypatch.setattr("time.sleep", lambda _: None)
    return embedded_store


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code and both outputs of the command."""
    result = CliRunner().invoke(edgepath, ["verify", "--data", "x", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command(opened: EmbeddedStore) -> None:
    """Says what it compared and could not, what differs and where, in a table and as JSON; exit code 1 if anything does."""
    fill(opened)
    code, out, err = run("--last", "4h")
    assert code == 0
    assert "request_paths from path_log" in out
    assert "everything adds up" in out
    assert "comparing path_1m from request_paths" in err
    assert "not compared: the SLO" in out  # the shipped ones have no counts here
    opened.execute("INSERT INTO late_spans SELECT * FROM late_spans LIMIT 1")
    code, out, _ = run("--last", "4h")
    assert code == 1
    assert "1 differ" in out
    assert "topic=t" in out
    code, out, _ = run("--last", "4h", "--json")
    told = json.loads(out)
    assert (code, told["differing"]) == (1, 1)
    (check,) = (each for each in told["checks"] if each["differing"])
    (difference,) = check["differences"]
    assert (check["check"], difference["column"]) == ("late_spans from path_log", "rows")
    assert difference["stored"] == difference["wanted"] + 1
    assert difference["place"]["topic"] == "t"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2026-01-02T00:00", "--to", "2026-01-01"), "there is nothing between --from and --to"),
        (("--last", "never"), "is not a duration"),
        (("--policy", "no-such"), "no-such"),
        (("--slos", "/no/such"), "/no/such"),
    ],
)
def test_mistakes(opened: EmbeddedStore, arguments: tuple[str, ...], message: str) -> None:
    """One line, exit code 1 or 2, no stack."""
    assert opened
    code, _, err = run(*arguments)
    assert code in (1, 2)
    assert message in err
    assert "Traceback" not in err


def test_hours() -> None:
    """Whole ones, cut at both ends."""
    assert hours(3_500, 7_300) == [(3_500, 3_600), (3_600, 7_200), (7_200, 7_300)]
    assert hours(3_600, 7_200) == [(3_600, 7_200)]
    assert hours(100, 200) == [(100, 200)]
    assert hours(200, 100) == []


def test_a_data_directory_that_another_one_has(tmp_path: Path) -> None:
    """The message is the store's."""
    (tmp_path / "clickhouse").write_text("")
    result = CliRunner().invoke(edgepath, ["verify", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "cannot write to the data directory" in result.stderr
    assert time.time()
