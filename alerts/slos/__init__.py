"""Service level objectives: OpenSLO v1 documents, read and checked. The ``*.yaml`` files here are the shipped ones."""

from collections.abc import Iterable
from pathlib import Path

from alerts.document import Problem, ProblemsError, errors
from alerts.slos.alerting import policy_from, rule_from, target_from
from alerts.slos.indicator import indicator_from
from alerts.slos.mapping import slos_from
from alerts.slos.model import Catalog, PrometheusSlo, Service, Slo, Target
from alerts.slos.objects import Object, read_objects

__all__ = ["Catalog", "PrometheusSlo", "Slo", "load", "load_catalog", "shipped", "try_catalog", "try_load"]

_HERE = Path(__file__).parent


def shipped() -> list[Path]:
    """The files that come with Edgepath."""
    return sorted(_HERE.glob("*.yaml"))


def load(paths: Iterable[Path] | None = None) -> list[Slo]:
    """The SLOs over request paths of files and directories, in order; the shipped ones if none are named.

    Raises:
        ProblemsError: a :class:`~telemetry.errors.ConfigurationError` with every problem of every file.
    """
    return list(load_catalog(paths).slos)


def load_catalog(paths: Iterable[Path] | None = None) -> Catalog:
    """Everything that files and directories define. Raises as :func:`load` does."""
    catalog, problems = try_catalog(paths)
    if wrong := errors(problems):
        raise ProblemsError(wrong)
    return catalog


def try_load(paths: Iterable[Path] | None = None) -> tuple[list[Slo], list[Problem]]:
    """As :func:`load`, but what can be read is returned beside the problems, and notes are among them."""
    catalog, problems = try_catalog(paths)
    return list(catalog.slos), problems


def try_catalog(paths: Iterable[Path] | None = None) -> tuple[Catalog, list[Problem]]:
    """As :func:`load_catalog`, but what can be read is returned beside the problems, and notes are among them."""
    objects = read_objects(shipped() if paths is None else paths, [(_HERE, "alerts/slos")])
    targets: dict[str, Target] = {}
    for source in objects.of("AlertNotificationTarget"):
        if (target := target_from(source)) is not None:
            targets[source.name] = target
    services = [_service(source) for source in objects.of("Service")]
    # What no SLO refers to (yet) is checked as well.
    for source in objects.of("SLI"):
        indicator_from(source.spec, objects)
    for source in objects.of("AlertCondition"):
        rule_from(source)
    for source in objects.of("AlertPolicy"):
        policy_from(source, objects, targets)
    found: list[Slo | PrometheusSlo] = []
    for source in objects.of("SLO"):
        for slo in slos_from(source, objects, targets):
            twin = next((s for s in found if s.name == slo.name), None)
            if twin is None:
                found.append(slo)
            else:
                source.metadata.note(f"{slo.name!r} is also defined in {twin.file}; rename", "name")
    return Catalog(
        slos=tuple(s for s in found if isinstance(s, Slo)),
        prometheus=tuple(s for s in found if isinstance(s, PrometheusSlo)),
        targets=tuple(targets.values()),
        services=tuple(services),
    ), list(dict.fromkeys(objects.problems))


def _service(source: Object) -> Service:
    spec = source.spec.fields((), ("description",))
    description = (spec["description"].text() or "") if "description" in spec else ""
    return Service(source.name, source.display_name, description)
