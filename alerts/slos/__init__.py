"""Service level objectives: OpenSLO v1 documents, read and checked. The ``*.yaml`` files here are the shipped ones."""

from collections.abc import Iterable
from pathlib import Path

from alerts.document import Problem, ProblemsError, parse, read, yaml_files
from alerts.slos.mapping import slo_from
from alerts.slos.model import Slo

__all__ = ["Slo", "load", "shipped", "try_load"]


def shipped() -> list[Path]:
    """The files that come with Edgepath."""
    return sorted(Path(__file__).parent.glob("*.yaml"))


def load(paths: Iterable[Path] | None = None) -> list[Slo]:
    """The SLOs of files and directories, in order; the shipped ones if none are named.

    Raises:
        ProblemsError: a :class:`~telemetry.errors.ConfigurationError` with every problem of every file.
    """
    slos, problems = try_load(paths)
    if problems:
        raise ProblemsError(problems)
    return slos


def try_load(paths: Iterable[Path] | None = None) -> tuple[list[Slo], list[Problem]]:
    """As :func:`load`, but what can be read is returned beside the problems."""
    slos: list[Slo] = []
    problems: list[Problem] = []
    try:
        files = yaml_files(shipped() if paths is None else paths)
    except ProblemsError as error:
        return [], list(error.problems)
    for path in files:
        file = _shown(path)
        try:
            documents = parse(read(path), file)
        except ProblemsError as error:
            problems.extend(error.problems)
            continue
        if not documents:
            problems.append(Problem(file, "", "holds no document"))
        for number, document in enumerate(documents):
            where = f"document {number + 1}" if len(documents) > 1 else ""
            slo, found = slo_from(document, file, where)
            problems.extend(found)
            if slo is None:
                continue
            twin = next((s for s in slos if s.name == slo.name), None)
            if twin is not None:
                problems.append(Problem(file, "metadata.name", f"{slo.name!r} is also defined in {twin.file}; rename"))
            else:
                slos.append(slo)
    return slos, problems


def _shown(path: Path) -> str:
    """A shipped file as ``alerts/slos/x.yaml``, any other as it was named."""
    root = Path(__file__).parent
    return f"alerts/slos/{path.name}" if path.parent == root else str(path)
