"""Settings: option over variable over file over default; mistakes told with place and mend; secrets never shown."""

import logging
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from telemetry.cli import cleaning, logs
from telemetry.cli.group import edgepath
from telemetry.cli.settings.catalogue import catalogue
from telemetry.cli.settings.reference import page
from telemetry.cli.settings.setting import Secret

ROOT = Path(__file__).parents[3]
NEEDED = ("--kafka", "k:9092", "--clickhouse", "clickhouse://db:9000/edgepath")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    cleaning.forget()
    logs.configure("warning", "text")


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def told(*arguments: str, **variables: str) -> Result:
    """What the command says, in this process."""
    return CliRunner().invoke(edgepath, list(arguments), prog_name="edgepath", env=variables)


def written(folder: Path, text: str, mode: int = 0o600) -> str:
    """A settings file."""
    path = folder / "edgepath.toml"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def shown(*arguments: str, **variables: str) -> dict[str, dict[str, object]]:
    """What ``--show-config`` says; it is TOML."""
    result = told(*arguments, "--show-config", **variables)
    assert result.exit_code == 0, result.output
    return tomllib.loads(result.output)


def source(line_of: str, *arguments: str, **variables: str) -> str:
    """Where it says that a setting comes from."""
    found = re.search(rf"^{line_of} = .*  # (.*)$", told(*arguments, "--show-config", **variables).output, re.MULTILINE)
    assert found is not None
    return found[1]


class TestPrecedence:
    """Command line > variable > file > default, for every kind of value."""

    @pytest.mark.parametrize(
        ("table", "key", "default", "in_file", "expected", "variable", "text", "from_variable", "option", "from_option"),
        [
            ("consume", "group", "edgepath", '"f"', "f", "EDGEPATH_CONSUME_GROUP", "v", "v", ("--group", "o"), "o"),
            ("consume", "grace", "10s", "3", "3s", "EDGEPATH_CONSUME_GRACE", "1m", "60s", ("--grace", "4s"), "4s"),
            ("consume", "drain", "20s", '"0s"', "0s", "EDGEPATH_CONSUME_DRAIN", "1", "1s", ("--drain", "2"), "2s"),
            ("consume", "tier-of", None, '["a=api"]', ["a=api"], "EDGEPATH_CONSUME_TIER_OF", "b=api c=api", ["b=api", "c=api"],
             ("--tier-of", "d=api"), ["d=api"]),
            ("kafka", "security", "plaintext", '"ssl"', "ssl", "EDGEPATH_KAFKA_SECURITY", "sasl_ssl", "sasl_ssl",
             ("--kafka-security", "plaintext"), "plaintext"),
            ("log", "level", "warning", '"info"', "info", "EDGEPATH_LOG_LEVEL", "error", "error", ("--log-level", "debug"),
             "debug"),
        ],
    )  # fmt: skip
    def test_the_strongest_wins(
        self,
        tmp_path: Path,
        table: str,
        key: str,
        default: object,
        in_file: str,
        expected: object,
        variable: str,
        text: str,
        from_variable: object,
        option: tuple[str, str],
        from_option: object,
    ) -> None:
        """And the source is told."""
        base = ("consume", *NEEDED)
        file = ("--config", written(tmp_path, f"[{table}]\n{key} = {in_file}\n"))
        assert shown(*base)[table].get(key) == default
        assert shown(*base, *file)[table][key] == expected
        assert source(key, *base, *file) == file[1]
        assert shown(*base, *file, **{variable: text})[table][key] == from_variable
        assert source(key, *base, *file, **{variable: text}) == f"variable {variable}"
        assert shown(*base, *file, *option, **{variable: text})[table][key] == from_option
        assert source(key, *base, *file, *option, **{variable: text}) == "command line"

    def test_flags_and_numbers(self, tmp_path: Path) -> None:
        """TOML's own types, where there are such."""
        file = written(tmp_path, "[pages]\nwatchdog = false\n[receive]\nhttp-port = 0\n")
        assert shown("watch", "--config", file)["pages"]["watchdog"] is False
        assert shown("watch", "--config", file, "--watchdog")["pages"]["watchdog"] is True
        assert shown("receive", "--config", file)["receive"]["http-port"] == 0

    def test_the_file_may_be_named_by_a_variable_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that lies about is not read."""
        path = written(tmp_path, '[consume]\ngroup = "f"\n')
        monkeypatch.chdir(tmp_path)
        assert shown("consume", *NEEDED)["consume"]["group"] == "edgepath"
        assert shown("consume", *NEEDED, EDGEPATH_CONFIG=path)["consume"]["group"] == "f"

    def test_paths_are_relative_to_the_file(self, tmp_path: Path) -> None:
        """A service's working directory is somewhere else."""
        file = written(tmp_path, '[kafka]\nca = "pki/ca.pem"\ncert = "/etc/cert.pem"\n[slo]\nfiles = "mine"\n')
        assert shown("consume", *NEEDED, "--config", file)["kafka"]["ca"] == f"{tmp_path}/pki/ca.pem"
        assert shown("consume", *NEEDED, "--config", file)["kafka"]["cert"] == "/etc/cert.pem"
        assert shown("watch", "--config", file)["slo"]["files"] == [f"{tmp_path}/mine"]

    def test_what_is_shown_can_be_given(self, tmp_path: Path) -> None:
        """Shown again out of that file it is the same."""
        first = told("consume", *NEEDED, "--tier-of", 'a"\\=api', "--grace", "1.5", "--show-config").output
        file = written(tmp_path, first)
        assert tomllib.loads(told("consume", "--config", file, "--show-config").output) == tomllib.loads(first)

    def test_a_level_before_the_commands_name(self, tmp_path: Path) -> None:
        """Is still a command line's, and stronger than the file's."""
        file = written(tmp_path, '[log]\nlevel = "error"\n[kafka]\nbootstrap = "k:1"\nca = "nowhere"\n')
        arguments = ("consume", "--config", file, "--clickhouse", "clickhouse://h/d")
        assert told("--log-level", "debug", *arguments).exit_code == 2
        assert logging.getLogger().level == logging.DEBUG
        told(*arguments)
        assert logging.getLogger().level == logging.ERROR


class TestMistakesInTheFile:
    """Exit status 2, the file and the line, what is wrong, and the mend."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[consume]\n\ngrase = 5\n", ":3: [consume] has no setting grase; did you mean grace?"),
            ("[consume]\ncomplete_grace = 5\n", ":2: [consume] has no setting complete_grace; did you mean complete-grace?"),
            ("[kafak]\nuser = 'a'\n", ":1: there is no table [kafak]; did you mean kafka?"),
            ("[xyz]\n", ":1: there is no table [xyz]; there are adapt, clickhouse, consume, kafka,"),
            ("format = 'json'\n", ":1: format stands in no table; write it under [log]"),
            ("[consume]\nbootstrap = 'k:1'\n", "(bootstrap is a setting of [kafka])"),
            ("[consume]\ngrace = 'soon'\n", ":2: [consume] grace cannot be used: 'soon' is not a duration; write for example"),
            ("[consume]\ngrace = -1\n", ":2: [consume] grace cannot be used: -1 is not a duration"),
            ("[consume]\ngrace = true\n", ":2: [consume] grace is True, but must be a time such as"),
            ("[consume]\ntopic = 7\n", ":2: [consume] topic is 7, but must be text, in quotes"),
            ("[consume]\ntopic = ['a']\n", ":2: [consume] topic is a list, but must be text, in quotes"),
            ("[consume]\ntier-of = [1]\n", ":2: [consume] tier-of is 1, but must be text, in quotes, or a list of such"),
            ("[consume.topic]\nx = 1\n", ": [consume] topic is a table, but must be text, in quotes"),
            ("[receive]\nhttp-port = 70000\n", ":2: [receive] http-port cannot be used: 70000 is not in the range 0<=x<=65535"),
            ("[receive]\nhttp-port = '1'\n", ":2: [receive] http-port is '1', but must be a whole number from 0 to 65535"),
            ("[pages]\nwatchdog = 'no'\n", ":2: [pages] watchdog is 'no', but must be true or false"),
            ("[kafka]\nsecurity = 'tls'\n", ":2: [kafka] security cannot be used: 'tls' is not one of 'plaintext', 'ssl',"),
            ("[kafka]\npassword = 12345678\n", ":2: [kafka] password must be text, in quotes"),
            ("[consume\n", "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 9)"),
            ("[consume]\ngrace = 1\ngrace = 2\n", "is not TOML: Cannot overwrite a value (at line 3, column 10)"),
        ],
    )  # fmt: skip
    def test_told_with_their_place(self, tmp_path: Path, text: str, message: str) -> None:
        """Whichever command reads the file."""
        for command in ("consume", "watch"):
            result = told(command, "--config", written(tmp_path, text))
            assert result.exit_code == 2
            assert message in result.output
            assert "edgepath.toml" in result.output
            assert "12345678" not in result.output

    def test_all_of_them_at_once(self, tmp_path: Path) -> None:
        """Not one a run; but not hundreds."""
        result = told(
            "consume", "--config", written(tmp_path, "[consume]\n" + "".join(f"x{n} = 1\n" for n in range(15)))
        )
        assert result.output.count("has no setting") == 10
        assert result.output.endswith("and 5 more\n")

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda _: None, "cannot be read: No such file or directory; --config or EDGEPATH_CONFIG names it"),
            (lambda path: path.mkdir(), "cannot be read: Is a directory"),
            (lambda path: path.write_bytes(b"a = '\xff'"), "is not text in UTF-8: byte 5"),
        ],
    )
    def test_no_file(self, tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
        """That can be read."""
        make(tmp_path / "x.toml")
        result = told("consume", "--config", str(tmp_path / "x.toml"))
        assert (result.exit_code, result.output.count("\n")) == (2, 1)
        assert message in result.output

    def test_a_variables_mistake_names_the_variable(self) -> None:
        """Not an option that nobody gave."""
        result = told("consume", *NEEDED, EDGEPATH_CONSUME_GRACE="soon")
        assert result.exit_code == 2
        assert "Invalid value for EDGEPATH_CONSUME_GRACE: 'soon' is not a duration" in result.output

    def test_what_must_be_given_is_told_with_all_its_names(self) -> None:
        """Option, variable and key."""
        result = told("consume")
        assert result.exit_code == 2
        assert "'--kafka'. Or set the variable EDGEPATH_KAFKA, or bootstrap under [kafka]" in result.output


class TestSecrets:
    """Out of files and variables; never out again."""

    FILE = """
[kafka]
bootstrap = "k:9092"
security = "sasl_ssl"
user = "alice"
password = "pw-kafka-inline"
[clickhouse]
url = "clickhouse://u:pw-click-url@h:9000/d"
[pages]
slack = "https://hooks.example/services/T0/pw-slack"
pagerduty = ["pw-pagerduty-key"]
webhook = "https://user:pw-hook@example.org/p?key=pw-query"
alertmanager = "http://user:pw-am@am:9093"
"""

    def test_none_is_shown(self, tmp_path: Path) -> None:
        """By --show-config of any command; the rest of what holds them is."""
        file = written(tmp_path, self.FILE)
        for command in ("consume", "watch", "up", "receive", "verify"):
            output = told(command, "--config", file, "--show-config").output
            assert "pw-" not in output
            assert tomllib.loads(output)
        output = told("watch", "--config", file, "--show-config").output
        assert 'url = "clickhouse://u:***@h:9000/d"' in output
        assert 'slack = ["https://hooks.example/***"]' in output
        assert 'alertmanager = ["http://user:***@am:9093"]' in output

    def test_everybody_may_read_it(self, tmp_path: Path) -> None:
        """Is worth a warning; without a secret in it, it is not."""
        file = written(tmp_path, self.FILE, 0o644)
        with_secrets = told("consume", "--config", file, "--kafka-ca", "nowhere.pem")
        assert (
            f"{file} holds secrets and can be read by everybody on this machine: chmod o-r {file}"
            in with_secrets.output
        )
        (tmp_path / "edgepath.toml").chmod(0o640)
        assert "everybody" not in told("consume", "--config", file, "--kafka-ca", "nowhere.pem").output
        file = written(tmp_path, '[consume]\ngroup = "x"\n[pages]\nalertmanager = ["http://am:9093"]\n', 0o644)
        assert "everybody" not in told("consume", "--config", file, "--kafka-ca", "nowhere.pem", *NEEDED).output

    @pytest.fixture
    def password(self, tmp_path: Path) -> Path:
        """A file with one."""
        path = tmp_path / "password"
        path.write_text("pw-from-file\nnot this\n")
        path.chmod(0o600)
        return path

    def sasl(self, *more: str, **variables: str) -> Result:
        """A consumer whose ClickHouse URL is wrong: what Kafka needs has been looked at by then."""
        url = ("--clickhouse", "clickhouse://h/a-b")
        return told(
            "consume",
            "--kafka",
            "k:1",
            "--kafka-security",
            "sasl_plaintext",
            "--kafka-user",
            "a",
            *url,
            *more,
            **variables,
        )

    def test_a_file_has_it_in_its_first_line(self, password: Path) -> None:
        """Read, and known to the logs from then on."""
        assert "password is missing" in self.sasl().output
        assert "database 'a-b'" in self.sasl("--kafka-password-file", str(password)).output
        assert cleaning.clean("x pw-from-file y") == "x [secret] y"
        assert "not this" in cleaning.clean("not this")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "UTF-8")],
    )
    def test_a_file_that_has_none(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        """Status 2, and which file."""
        path = tmp_path / "password"
        if content is not None:
            path.write_bytes(content)
        result = self.sasl("--kafka-password-file", str(path))
        assert result.exit_code == 2
        assert f"--kafka-password-file {path}" in result.output
        assert message in result.output

    def test_a_file_that_everybody_can_read(self, password: Path) -> None:
        """Works, with a warning."""
        password.chmod(0o644)
        assert f"chmod o-r {password}" in self.sasl("--kafka-password-file", str(password)).output

    def test_two_at_once(self, password: Path, tmp_path: Path) -> None:
        """The stronger source counts; two equally strong ones contradict each other."""
        variable = {"EDGEPATH_KAFKA_PASSWORD": "pw-variable"}
        assert "database 'a-b'" in self.sasl("--kafka-password-file", str(password), **variable).output
        assert cleaning.clean("pw-from-file") == "[secret]"
        result = self.sasl(EDGEPATH_KAFKA_PASSWORD_FILE=str(password), **variable)
        assert result.exit_code == 2
        assert "[kafka] password and password-file are both given" in result.output
        file = written(tmp_path, f'[kafka]\npassword-file = "{tmp_path}/nowhere"\n')
        assert "database 'a-b'" in self.sasl("--config", file, **variable).output

    def test_users_from_files(self, tmp_path: Path) -> None:
        """As secrets of clusters are mounted: a name is none, and may be shown."""
        (tmp_path / "user").write_text("alice-of-the-file\n")
        (tmp_path / "user").chmod(0o644)
        file = written(tmp_path, '[kafka]\nuser-file = "user"\n[clickhouse]\nuser-file = "user"\n')
        url = ("--clickhouse", "clickhouse://bob@h/d")
        result = told("consume", "--config", file, "--kafka", "k:1", "--kafka-security", "sasl_ssl", *url)
        assert "and the password is missing" in result.output
        assert "everybody" not in result.output
        result = told("consume", "--config", file, "--kafka", "k:1", *url)
        assert "a Kafka user is given, but --kafka-security is plaintext" in result.output
        result = told("schema", "apply", "--config", file, *url)
        assert "names the user bob, and --clickhouse-user alice-of-the-file" in result.output

    def test_no_password_has_an_option(self) -> None:
        """A command line can be read by everybody on the machine."""
        for table in catalogue().values():
            for entry in table.values():
                if entry.setting.key.endswith("password"):
                    assert entry.setting.unflagged
        assert told("consume", "--kafka-password", "x").exit_code == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("--clickhouse", "clickhouse://a:pw-one@h/d", "--clickhouse-user", "b"),
                "names the user a, and --clickhouse-user b",
            ),
            (("--clickhouse", "clickhouse://a:pw-one@h/d"), "stands in the URL, and is also given apart"),
            (
                ("--clickhouse", "clickhouse://h/d", "--clickhouse-ca", "x"),
                "--clickhouse-ca is for TLS, but the ClickHouse URL",
            ),
            (
                ("--clickhouse", "clickhouses://h/d", "--clickhouse-ca", "x"),
                "--clickhouse-ca x cannot be used: there is no such",
            ),
            (
                ("--clickhouse", "clickhouses://h/d?ca=pyproject.toml", "--clickhouse-ca", "x"),
                "says ca=pyproject.toml, and --clickhouse-ca x: leave one out",
            ),
        ],
    )
    def test_clickhouses_user_and_password_once(self, arguments: tuple[str, ...], message: str) -> None:
        """In the URL or apart."""
        result = told("schema", "apply", *arguments, EDGEPATH_CLICKHOUSE_PASSWORD="pw-two")
        assert result.exit_code == 2
        assert message in result.output
        assert "pw-" not in result.output

    @pytest.mark.parametrize(
        ("kind", "value", "shown"),
        [
            (Secret.NO, "x", "x"),
            (Secret.WHOLE, "x", "***"),
            (Secret.WHOLE, "", ""),
            (Secret.PASSWORD, "clickhouse://h/d", "clickhouse://h/d"),
            (Secret.PASSWORD, "clickhouse://u:p@h:1/d?ca=x", "clickhouse://u:***@h:1/d?ca=x"),
            (Secret.PASSWORD, "clickhouse://u:p@[::1]:1/d", "clickhouse://u:***@[::1]:1/d"),
            (Secret.PASSWORD, "u:p@h", "***"),
            (Secret.PASSWORD, "http://[", "***"),
            (Secret.PATH, "https://u:p@h/x?y=z", "https://h/***"),
        ],
    )
    def test_how_much_is_shown(self, kind: Secret, value: str, shown: str) -> None:
        """What cannot be taken apart, not at all."""
        assert kind.shown(value) == shown


def test_a_data_directory_on_the_command_line_is_meant_instead_of_a_server_in_a_variable(tmp_path: Path) -> None:
    """Who has the variable set for every day can still look at a directory; two on the command line are one too many."""
    server = {"EDGEPATH_CLICKHOUSE": "clickhouse://127.0.0.1:1/d"}
    (tmp_path / "file").write_text("")
    result = told("schema", "apply", "--data", str(tmp_path / "file"), **server)
    assert "cannot write to the data directory" in result.output
    result = told("schema", "apply", "--data", "x", "--clickhouse", server["EDGEPATH_CLICKHOUSE"])
    assert "name one store" in result.output


class TestCatalogue:
    """One declaration, from which all else follows."""

    def test_the_page_is_current(self) -> None:
        """``python -m telemetry.cli.settings.reference > docs/settings.md`` mends it."""
        assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page()

    def test_names_are_unique_and_regular(self) -> None:
        """No variable sets two things; a setting is the same wherever it is."""
        variables: dict[str, tuple[str, str]] = {}
        for table, keys in catalogue().items():
            for key, entry in keys.items():
                assert re.fullmatch(r"[a-z][a-z-]*", key)
                assert entry.setting.help, key
                assert variables.setdefault(entry.setting.variable, (table, key)) == (table, key)
                assert entry.setting.variable.startswith("EDGEPATH_")

    def test_the_example_of_the_page_can_be_used(self, tmp_path: Path) -> None:
        """It is the first thing that is copied."""
        example = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
        assert example is not None
        found = shown("consume", "--config", written(tmp_path, example[1]))
        assert found["kafka"]["password-file"] == "/run/secrets/kafka-password"

    @pytest.mark.parametrize(
        "command", ["up", "receive", "consume", "watch", "adapt", "verify", "schema apply", "slo drill"]
    )
    def test_help_names_exit_statuses_and_the_page(self, command: str) -> None:
        """Where they are looked for."""
        output = " ".join(told(*command.split(), "--help").output.split())
        assert "Exit status: 0 " in output
        assert "2 if options or settings are wrong" in output
        assert "docs/settings.md" in output
