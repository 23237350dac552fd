"""The command line: help that loads nothing heavy, mistakes told in one line with the mend."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from telemetry.cli.duration import Duration
from telemetry.cli.group import _COMMANDS, edgepath

EDGEPATH = [sys.executable, "-c", "from telemetry.cli import main; main()"]
ROOT = Path(__file__).parents[3]


def told(*arguments: str) -> Result:
    """What the command says, in this process: for what stops before an engine is loaded."""
    return CliRunner().invoke(edgepath, list(arguments), prog_name="edgepath")


def run(*arguments: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own."""
    return subprocess.run(
        [*EDGEPATH, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )


class TestHelp:
    """What there is, said fast."""

    def test_it_lists_every_command_with_a_line(self) -> None:
        """In the order in which someone new meets them."""
        result = told("--help")
        assert result.exit_code == 0
        places = [result.output.index(f"\n  {name} ") for name in _COMMANDS]
        assert places == sorted(places)
        assert "Try it: edgepath up --demo" in result.output

    @pytest.mark.parametrize("command", _COMMANDS)
    def test_every_command_has_help(self, command: str) -> None:
        """And it begins with how it is called."""
        result = told(command, "--help")
        assert result.exit_code == 0, result.output
        assert result.output.startswith(f"Usage: edgepath {command} ")

    def test_up_names_its_defaults(self) -> None:
        """Ports, host, and what --demo changes."""
        output = told("up", "--help").output
        for word in ("4317", "4318", "8080", "127.0.0.1", "edgepath-data", "--demo", "--kafka [HOST:PORT]", "workbook"):
            assert word in output

    @pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["--version"]])
    def test_help_loads_no_engine(self, arguments: list[str]) -> None:
        """A tenth of a second, not two."""
        heavy = ["chdb", "numpy", "pyarrow", "grpc", "kafka", "starlette", "grafanalib", "clickhouse_driver"]
        script = (
            f"import sys\nfrom telemetry.cli import main\nsys.argv = ['edgepath', *{arguments}]\n"
            f"try: main()\nfinally: print('LOADED', *[name for name in {heavy} if name in sys.modules])"
        )
        answer = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        assert answer.stdout.splitlines()[-1].split() == ["LOADED"]


class TestMistakes:
    """Exit code 2 for how it was called, 1 for what was found; one line that says what to do."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nope"], "No such command 'nope'."),
            (["up", "--nope"], "No such option"),
            (["up", "--report", "r.json"], "--report goes with --demo and --for: edgepath up --demo --for 150s"),
            (["up", "--demo", "--report", "r.json"], "--report goes with --demo and --for"),
            (["up", "--for", "5s", "--report", "r.json"], "--report goes with --demo and --for"),
            (["up", "--for", "soon"], "'soon' is not a duration; write for example 150s, 5m or 2h"),
            (["up", "--for", "0s"], "'0s' is not a duration"),
            (["up", "--for", "-5s"], "'-5s' is not a duration"),
            (["up", "--web-port", "web"], "'web' is not a valid integer"),
            (
                [
                    "consume",
                    "--kafka",
                    "k:9092",
                    "--clickhouse",
                    "clickhouse://c:9000/e",
                    "--metrics-topic",
                    "otlp_spans",
                ],
                "--topic and --metrics-topic are both otlp_spans",
            ),
        ],
    )
    def test_wrong_calls(self, arguments: list[str], message: str) -> None:
        """Before anything is started."""
        result = told(*arguments)
        assert result.exit_code == 2
        assert message in result.output

    def test_no_store_named(self) -> None:
        """`schema apply` needs one."""
        result = told("schema", "apply")
        assert result.exit_code == 1
        assert result.output == (
            "Error: name one store: --clickhouse URL for a server, or --data DIR for the embedded one\n"
        )

    def test_a_wrong_url_shows_no_password(self) -> None:
        """Whatever is wrong with it."""
        result = told("schema", "apply", "--clickhouse", "http://user:hush@host/db")
        assert result.exit_code == 2
        assert "write clickhouse://USER:PASSWORD@HOST:9000/DATABASE" in result.output
        assert "hush" not in result.output

    def test_a_server_that_is_not_there(self) -> None:
        """One line, without a traceback."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        answer = run("schema", "apply", "--clickhouse", f"clickhouse://user:hush@127.0.0.1:{port}/db")
        assert answer.returncode == 1
        assert answer.stderr.splitlines()[-1].startswith(f"Error: ClickHouse at 127.0.0.1:{port}/db does not answer: ")
        assert "Traceback" not in answer.stderr
        assert "hush" not in answer.stderr + answer.stdout

    @pytest.mark.parametrize("command", [["up", "--for", "1s"], ["schema", "apply"]])
    def test_a_data_directory_that_cannot_be_written(self, tmp_path: Path, command: list[str]) -> None:
        """A file stands where the directory should be."""
        (tmp_path / "file").write_text("")
        answer = run(*command, "--data", str(tmp_path / "file"))
        assert answer.returncode == 1
        assert answer.stderr == (
            f"Error: cannot write to the data directory {tmp_path}/file/clickhouse: Not a directory; "
            "choose another with --data DIR\n"
        )

    @pytest.mark.parametrize("flag", ["--grpc-port", "--http-port", "--web-port"])
    def test_a_port_in_use(self, tmp_path: Path, taken_port: int, flag: str) -> None:
        """Names it and the option; nothing is left running or hanging."""
        ports = {"--grpc-port": "0", "--http-port": "0", "--web-port": "0", flag: str(taken_port)}
        arguments = [word for pair in ports.items() for word in pair]
        answer = run("up", "--for", "1s", "--data", str(tmp_path / "data"), *arguments)
        assert answer.returncode == 1
        assert answer.stderr.startswith(f"Error: port {taken_port} on 127.0.0.1 is in use")
        assert answer.stderr.endswith(f"choose another with {flag}\n")
        assert answer.stderr.count("\n") == 1

    def test_an_slo_file_that_is_not_there(self, tmp_path: Path) -> None:
        """Told before anything is opened."""
        answer = run("up", "--slos", str(tmp_path / "nowhere"), "--data", str(tmp_path / "data"))
        assert answer.returncode == 1
        assert str(tmp_path / "nowhere") in answer.stderr
        assert "Traceback" not in answer.stderr
        assert not (tmp_path / "data").exists()


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_schema_apply_on_a_data_directory(tmp_path: Path) -> None:
    """Makes it, and changes nothing the second time."""
    for _ in range(2):
        answer = run("schema", "apply", "--data", str(tmp_path / "new" / "data"))
        assert (answer.returncode, answer.stderr) == (0, "")
        assert answer.stdout.startswith("the schema is up to date: migrations 0001, 0002, 0003")


def test_up_starts_and_a_signal_stops_it(tmp_path: Path) -> None:
    """It says what is where, and that nothing is left."""
    free = ["--grpc-port", "0", "--http-port", "0", "--web-port", "0"]
    with subprocess.Popen(
        [*EDGEPATH, "up", "--data", str(tmp_path / "data"), *free],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C stops everything" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert rest.rstrip().endswith("stopped; nothing is left running")
    for word in ("dashboards", "OTLP/gRPC", "OTLP/HTTP", str(tmp_path / "data")):
        assert word in "".join(said)
    assert errors == ""


@pytest.mark.parametrize("arguments", [[], ["--help"], ["up", "--demo"]])
def test_the_base_install_says_what_is_missing(arguments: list[str]) -> None:
    """Without click there is the SDK alone: one line, no traceback."""
    script = (
        "import sys\nsys.modules['click'] = None  # an import of it fails\n"
        f"from telemetry.cli import main\nsys.argv = ['edgepath', *{arguments}]\nmain()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr == (
        "edgepath: this install has the SDK alone. For the command: pip install 'edgepath[pipeline]'\n"
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5s", 1.5),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        (" 5m ", 300),
        (7, 7),
        (0.5, 0.5),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    """Seconds if no unit is named."""
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "5 m", "m5", "1h30m", "-1s", "0", "0.0h", "1e3", "٣s", "inf", "nan"])
def test_what_is_no_duration(text: str) -> None:
    """Told with an example."""
    with pytest.raises(click.BadParameter, match="write for example 150s, 5m or 2h"):
        Duration().convert(text, None, None)
