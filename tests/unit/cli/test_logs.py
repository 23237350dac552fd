"""Logs: one JSON object a line, whoever logs; secrets and card numbers in none of it."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from telemetry.cli import cleaning, logs

ROOT = Path(__file__).parents[3]
CARD = "4111111111111111"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    cleaning.forget()
    logs.configure("warning", "text")


def lines(text: str) -> list[dict[str, Any]]:
    """Every line is an object."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    """Time in RFC 3339 and UTC, level, logger, message; fields as they are."""
    logs.configure("info", "json")
    logging.getLogger("edgepath.test").info(
        "took %d\nlines", 3, extra={"topic": "t", "lag": 5, "share": 0.5, "none": None}
    )
    (told,) = lines(capsys.readouterr().err)
    assert told["time"].endswith("Z")
    assert datetime.fromisoformat(told["time"]).tzinfo is not None
    assert {name: told[name] for name in told if name != "time"} == {
        "level": "info",
        "logger": "edgepath.test",
        "message": "took 3\nlines",
        "fields": {"topic": "t", "lag": 5, "share": 0.5, "none": None},
    }


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not logged; kafka-python's lines come when one asks for more than warnings."""
    for level, expected in (("warning", ["ours"]), ("info", ["theirs", "ours"]), ("error", [])):
        logs.configure(level, "json")
        logging.getLogger("kafka.net.connection").info("theirs")
        logging.getLogger("telemetry.app").warning("ours")
        assert [told["message"] for told in lines(capsys.readouterr().err)] == expected


EVERYBODY = f"""
import logging, threading, warnings
from telemetry.cli import cleaning, logs
cleaning.hide("hunter22")
logs.configure("info", "json")
logging.getLogger("some.library").error("cannot log in with %s", "hunter22")
warnings.warn("old: {CARD}")
def fail():
    raise ValueError("bad card {CARD}, password hunter22")
try:
    fail()
except ValueError:
    logging.getLogger("x").exception("failed")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_other_libraries_warnings_and_what_nobody_caught() -> None:
    """All that a process writes is JSON, and clean."""
    done = subprocess.run(
        [sys.executable, "-c", EVERYBODY], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert CARD not in done.stderr
    assert "hunter22" not in done.stderr
    library, warning, caught, *uncaught = lines(done.stderr)
    assert library["message"] == "cannot log in with [secret]"
    assert warning["logger"] == "py.warnings"
    assert caught["exception"].endswith("ValueError: bad card [card], password [secret]")
    assert [told["level"] for told in uncaught] == ["critical"] * 2
    assert {told["message"] for told in uncaught} == {"an error that nobody expected: ValueError"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: {2, 3}}, b"\xff", Path("/x"), "\ud800", ["a", (1,)]])
def test_any_field_becomes_json(capsys: pytest.CaptureFixture[str], value: object) -> None:
    """A line is never lost because of what somebody logs."""
    logs.configure("info", "json")
    logging.getLogger("x").info("m", extra={"value": value})
    (told,) = lines(capsys.readouterr().err)
    assert "value" in told["fields"]


def test_a_record_whose_arguments_do_not_fit() -> None:
    """A library's mistake costs no line."""
    record = logging.makeLogRecord({"msg": "%d of %d", "args": (1,)})
    assert json.loads(logs.JsonFormatter().format(record))["message"] == "%d of %d (1,)"


def test_fields_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """Deep inside, too."""
    cleaning.hide("hunter22")
    logs.configure("info", "json")
    logging.getLogger("x").info("m", extra={"a": [{"hunter22": f"x {CARD}"}], "b": ValueError("hunter22")})
    (told,) = lines(capsys.readouterr().err)
    assert told["fields"] == {"a": [{"[secret]": "x [card]"}], "b": "[secret]"}


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output: a sentence for a person, or an object with fields."""
    cleaning.hide("hunter22")
    logs.configure("error", "text")
    logs.say("taken: hunter22", count=1)
    assert capsys.readouterr().out == "taken: [secret]\n"
    logs.configure("error", "json")
    logs.say("taken: hunter22", count=1)
    (told,) = lines(capsys.readouterr().out)
    assert (told["level"], told["message"], told["fields"]) == ("info", "taken: [secret]", {"count": 1})


def test_text_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON is."""
    cleaning.hide("hunter22")
    logs.configure("info", "text")
    logging.getLogger("x").info("hunter22 %s", CARD)
    assert capsys.readouterr().err.endswith("INFO x: [secret] [card]\n")


@pytest.mark.parametrize("secret", ["p@ss/w:rd%", "pass word", 'quo"te\\', "pä§§wörd", "tab\there"])
def test_what_becomes_of_a_secret_is_hidden_as_well(secret: str) -> None:
    """In URLs, JSON, representations of text and bytes."""
    cleaning.hide(secret)
    forms = (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret), repr(secret))
    for form in (*forms, repr(b"\0alice\0" + secret.encode())):
        cleaned = cleaning.clean(f"before {form} after")
        assert cleaned.startswith("before ")
        assert cleaned.endswith(" after")
        for part in ("ss/w", "ss%2Fw", "ss word", "ss+word", "te\\", "wörd", "w%C3", "w\\xc3", "here"):
            assert part not in cleaned


def test_a_login_at_kafka_is_not_logged() -> None:
    """kafka-python logs its requests at DEBUG; of SCRAM a recording is enough to guess passwords with."""
    text = "<conn> Request 3: SaslAuthenticateRequest_v2(auth_bytes=b'n,,n=alice,r=abc')"
    assert cleaning.clean(text) == "<conn> Request 3: SaslAuthenticateRequest_v2([secret])"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("records=b'\\x00\\xef\\xbc\\x94 it\\'s', n=1", "records=[bytes], n=1"),
        ('bytearray(b"it\'s\\n"))', "bytearray([bytes]))"),
        ("cut off: b'\\x00\\", "cut off: [bytes]"),
        ("Bob's and web's", "Bob's and web's"),
        ("the database 'a-b' and topic b's lag", "the database 'a-b' and topic b's lag"),
        ("b'at the start'", "[bytes]"),
        ("two b'' and b\"x\"", "two [bytes] and [bytes]"),
    ],
)
def test_bytes_are_not_shown(text: str, cleaned: str) -> None:
    """kafka-python logs whole fetches: what is in them hides behind escapes."""
    assert cleaning.clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "the ClickHouse URL cannot be read; write clickhouse://USER:PASSWORD@HOST:9000/DATABASE",
        "Authentication failed: password is incorrect, or there is no user with such name",
        "needs a user and a password, and the password is missing: set the variable EDGEPATH_KAFKA_PASSWORD",
        "--kafka-password-file /run/secret is empty: its first line must be the secret",
        "Kafka at k:9092 does not accept the password of user alice (PLAIN): check EDGEPATH_KAFKA_USER",
    ],
)
def test_what_only_looks_like_a_secret_is_left(text: str) -> None:
    """Messages that tell the mend stay whole."""
    assert cleaning.clean(text) == text


def test_short_secrets_do_not_eat_the_text() -> None:
    """A password of one letter would take it out of every word."""
    cleaning.hide("a")
    assert cleaning.clean("a small word") == "a small word"


def test_a_command_that_fails_says_so_in_json() -> None:
    """The last line, too; status 1, for nobody listens there."""
    url = "clickhouse://u:hunter22@127.0.0.1:1/d"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from telemetry.cli import main; main()",
            "watch",
            "--clickhouse",
            url,
            "--log-format",
            "json",
            "--once",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    *_, told = lines(done.stderr)
    assert told["level"] == "error"
    assert told["message"].startswith("ClickHouse at 127.0.0.1:1/d does not answer: ")
    assert "hunter22" not in done.stderr + done.stdout
