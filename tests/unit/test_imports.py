"""Who may import whom (docs/architecture.md): read from the source of every module, none of it is run."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("telemetry", "alerts", "dashboards")

_CORE = ("telemetry.vocabulary", "telemetry.errors")
_STEPS = (
    *_CORE,
    "telemetry.redaction",
    "telemetry.domain",
    "telemetry.store",
    "telemetry.blocklog",
    "telemetry.feeds",
    "telemetry.engine",
)
# A part, and what it may import besides itself. The longest name that fits a module is its part.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "telemetry": ("telemetry.sdk",),  # the package itself: names that are looked up on first use
    "telemetry.vocabulary": (),
    "telemetry.errors": (),
    "telemetry.compiled": (),
    "telemetry.redaction": (),
    "telemetry.sdk": ("telemetry.vocabulary", "telemetry.redaction"),
    "telemetry.domain": _CORE,
    "telemetry.store": (*_CORE, "telemetry.domain"),
    "telemetry.blocklog": (*_CORE, "telemetry.domain", "telemetry.store"),
    "telemetry.feeds": (*_CORE, "telemetry.compiled", "telemetry.domain", "telemetry.redaction"),
    "telemetry.adapt": (*_CORE, "telemetry.redaction"),
    "telemetry.engine": (
        *_CORE,
        "telemetry.compiled",
        "telemetry.redaction",
        "telemetry.domain",
        "telemetry.store",
        "telemetry.blocklog.model",
        "telemetry.redaction",
        "telemetry.feeds.base",
    ),
    "telemetry.pipeline": (*_STEPS, "telemetry.observe.model"),
    "telemetry.observe": (*_CORE, "telemetry.sdk"),
    "telemetry.web": (*_STEPS, "telemetry.pipeline", "dashboards"),
    "telemetry.demo": (*_STEPS, "telemetry", "telemetry.pipeline", "telemetry.sdk", "alerts"),
    "telemetry.app": (
        *_STEPS,
        "telemetry.pipeline",
        "telemetry.observe",
        "telemetry.web",
        "telemetry.demo",
        "telemetry.sdk",
        "alerts",
        "dashboards",
    ),
    "telemetry.cli": ("telemetry", "alerts", "dashboards"),
    "alerts": (*_CORE, "telemetry.store.base", "telemetry.store.tables"),
    "dashboards": (*_CORE, "telemetry.store.base", "telemetry.store.tables"),
}
# The domain is pure: what reads a clock, a file, the network or chance is not for it.
IMPURE = {
    "asyncio",
    "http",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
}


@dataclass(frozen=True)
class Import:
    """One import statement: the file and line where it stands, the module that imports, and what it names."""

    place: str
    module: str
    name: str

    @property
    def top(self) -> str:
        """The first part of the imported name."""
        return self.name.partition(".")[0]


def imports_of(module: str, source: str, *, is_package: bool, place: str, modules: set[str]) -> Iterator[Import]:
    """Every import in ``source``, wherever in the file it stands; ``from a import b`` names ``a.b`` if that is a module."""
    for node in ast.walk(ast.parse(source)):
        where = f"{place}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(where, module, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*kept, *filter(None, [node.module])])
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield Import(where, module, deeper if deeper in modules else base)


def all_imports() -> list[Import]:
    """Every import of every module of ours."""
    files = {path: path.relative_to(ROOT) for top in PACKAGES for path in sorted((ROOT / top).rglob("*.py"))}
    names = {path: ".".join(short.with_suffix("").parts).removesuffix(".__init__") for path, short in files.items()}
    modules = set(names.values())
    return [
        found
        for path, module in names.items()
        for found in imports_of(
            module,
            path.read_text(encoding="utf-8"),
            is_package=path.name == "__init__.py",
            place=str(files[path]),
            modules=modules,
        )
    ]


def part_of(module: str) -> str:
    """The part that a module belongs to."""
    fitting = [part for part in ALLOWED if within(module, part) and (part != "telemetry" or module == part)]
    return max(fitting, key=len, default="")


def within(module: str, part: str) -> bool:
    """Whether ``module`` is ``part`` or lies in it."""
    return module == part or module.startswith(part + ".")


def wrong_direction(imports: list[Import]) -> list[str]:
    """One line for every import that the table does not allow."""
    wrong = []
    for each in imports:
        if each.top not in PACKAGES:
            continue
        part = part_of(each.module)
        allowed = (*ALLOWED.get(part, ()), part)
        # "telemetry" alone allows the SDK's names that the package gives, not everything below it, save for the command.
        if not any(
            each.name == one if one == "telemetry" and part != "telemetry.cli" else within(each.name, one)
            for one in allowed
        ):
            may = ", ".join(allowed[:-1]) or "nothing of ours"
            wrong.append(
                f"{each.place}: {each.module} imports {each.name}; {part or 'an unknown part'} may import {may}"
            )
    return wrong


def outside(imports: list[Import], part: str, allowed: set[str]) -> list[str]:
    """One line for every import from outside our packages that modules of ``part`` make and may not."""
    return [
        f"{each.place}: {each.module} imports {each.name}"
        for each in imports
        if within(each.module, part) and each.top not in PACKAGES and each.top not in allowed
    ]


def test_imports_follow_the_way_of_the_data() -> None:
    """vocabulary, errors <- domain <- store, feeds, engine <- pipeline <- web, demo <- app <- cli."""
    wrong = wrong_direction(all_imports())
    assert not wrong, "against the import direction:\n" + "\n".join(wrong)


def test_the_sdk_needs_only_opentelemetry() -> None:
    """It lives in other people's processes. grpc comes with its OTLP exporter, wrapt with its instrumentations."""
    wrong = outside(all_imports(), "telemetry.sdk", {*sys.stdlib_module_names, "opentelemetry", "grpc", "wrapt"})
    assert not wrong, "the SDK may import the standard library and OpenTelemetry:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "part", ["telemetry.vocabulary", "telemetry.errors", "telemetry.redaction", "telemetry.domain"]
)
def test_the_core_is_pure(part: str) -> None:
    """No clock, no I/O, no other people's packages."""
    wrong = outside(all_imports(), part, set(sys.stdlib_module_names) - IMPURE)
    assert not wrong, f"{part} must stay pure:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("telemetry.domain.paths", "import telemetry.store.base", "telemetry.store.base"),
        ("telemetry.domain.paths", "from telemetry import store", "telemetry.store"),
        ("telemetry.domain.paths", "from ..store import base", "telemetry.store.base"),
        ("telemetry.sdk.hops", "def late():\n    from telemetry.errors import EdgepathError", "telemetry.errors"),
        ("telemetry.store.base", "import telemetry.cli.up", "telemetry.cli.up"),
        ("alerts.watch", "from telemetry.engine import decode", "telemetry.engine"),
        ("telemetry.novelty.thing", "import telemetry.errors", "telemetry.errors"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str, expected: str) -> None:
    """The check itself: every form of import, also inside a function; a part that is not in the table may import nothing."""
    modules = {"telemetry.store", "telemetry.store.base", "telemetry.cli.up", "telemetry.errors", module}
    (wrong,) = wrong_direction(list(imports_of(module, source, is_package=False, place="x.py", modules=modules)))
    assert f"{module} imports {expected};" in wrong


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("telemetry.domain.paths", "from telemetry.vocabulary import Tier"),
        ("telemetry.domain.paths", "from .spans import Span"),
        ("telemetry.demo.client", "import telemetry"),
        ("telemetry.cli.up", "from telemetry.pipeline.loop import run\nimport alerts.watch"),
        ("dashboards.build", "from telemetry.store import tables"),
    ],
)
def test_a_right_import_is_not(module: str, source: str) -> None:
    """What the table allows passes."""
    modules = {"telemetry.store.tables", "telemetry.domain.spans", module}
    assert wrong_direction(list(imports_of(module, source, is_package=False, place="x.py", modules=modules))) == []


@pytest.mark.parametrize("statement", ["import telemetry", "from telemetry import ASGIMiddleware, configure, hop"])
def test_the_sdk_loads_nothing_of_the_pipeline(statement: str) -> None:
    """In a fresh interpreter: a service that imports the SDK pays for no engine and no Kafka."""
    heavy = ["chdb", "click", "clickhouse_driver", "grpc", "httpx", "kafka", "numpy", "pyarrow", "starlette", "yaml"]
    script = f"import sys; {statement}; print(*[name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.split() == []
