"""OpenSLO objects of a set of files, by kind and name, before they are mapped: head checked, references to be resolved.

The specification is https://github.com/OpenSLO/OpenSLO (``openslo/v1``). A file may hold several documents; a document
may refer to one in another file. ``openslo/v1alpha`` is read, with a note (:mod:`alerts.slos.v1alpha`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from alerts.document import Problem, ProblemsError, Reader, parse, read, yaml_files
from alerts.slos import v1alpha

API_VERSION: Final = "openslo/v1"
RUNBOOK: Final = "edgepath/runbook"
KINDS: Final = ("SLO", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service", "DataSource")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ANY_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.|/\\_-]{0,253}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Object:
    """One document's head, and a reader of its ``spec``."""

    kind: str
    name: str
    display_name: str
    annotations: dict[str, str]
    spec: Reader
    file: str
    metadata: Reader


@dataclass
class Objects:
    """All objects of a set of files, and every problem found so far."""

    found: dict[tuple[str, str], Object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def of(self, kind: str) -> list[Object]:
        """Those of a kind, in the order in which they were read."""
        return [o for (k, _), o in self.found.items() if k == kind]

    def referred(self, reader: Reader, kind: str) -> Object | None:
        """The object that a reference names; None, and a problem, if there is none."""
        name = reader.text(255)
        if name is None:
            return None
        found = self.found.get((kind, name))
        if found is None:
            known = ", ".join(sorted(n for k, n in self.found if k == kind and not n.startswith("\0"))) or "none"
            reader.note(f"no {kind} is named {name!r} in these files; there are: {known}")
        return found


def read_objects(paths: Iterable[Path], shown: Sequence[tuple[Path, str]] = ()) -> Objects:
    """The objects of files and directories; what cannot be read is a problem, and the rest is read on.

    Args:
        paths: files, and directories of ``*.yaml``.
        shown: directories and how files in them are named in problems.
    """
    objects = Objects()
    try:
        files = yaml_files(paths)
    except ProblemsError as error:
        objects.problems.extend(error.problems)
        return objects
    for path in files:
        file = next((f"{name}/{path.name}" for root, name in shown if path.parent == root), str(path))
        try:
            documents = parse(read(path), file)
        except ProblemsError as error:
            objects.problems.extend(error.problems)
            continue
        if not documents:
            objects.problems.append(Problem(file, "", "holds no document"))
        for number, document in enumerate(documents):
            where = f"document {number + 1}" if len(documents) > 1 else ""
            _add(objects, document, file, where)
    return objects


def _add(objects: Objects, document: Any, file: str, where: str) -> None:
    before = len(objects.problems)
    root = Reader(document, file, where, objects.problems)
    if isinstance(document, dict) and document.get("apiVersion") == v1alpha.API_VERSION:
        document = v1alpha.converted(root)
        root = Reader(document, file, where, objects.problems)
        before = len(objects.problems)
    top = root.fields(("apiVersion", "kind", "metadata", "spec"))
    if "apiVersion" in top and top["apiVersion"].value != API_VERSION:
        top["apiVersion"].note(f"{top['apiVersion'].value!r} is not read; write {API_VERSION}")
    if "kind" in top:
        top["kind"].one_of(KINDS)
    if len(objects.problems) > before:
        return
    kind = str(top["kind"].value)
    made = head(top["metadata"], kind, top["spec"], file)
    # Without a name of its own it is kept under one that nothing can refer to: the rest of it is checked as well.
    aside = (kind, f"\0{len(objects.found)}")
    if made is None:
        objects.found[aside] = Object(kind, "unnamed", "", {}, top["spec"], file, top["metadata"])
        return
    twin = objects.found.get((kind, made.name))
    if twin is not None:
        made.metadata.note(f"{made.name!r} is also defined in {twin.file}; rename", "name")
    objects.found[aside if twin is not None else (kind, made.name)] = made


def head(metadata: Reader, kind: str, spec: Reader, file: str) -> Object | None:
    """An object out of its ``metadata``, which is checked; also of one that stands inside another."""
    fields = metadata.fields(("name",), ("displayName", "labels", "annotations"))
    name = fields["name"].text(255) if "name" in fields else None
    # An SLO's name becomes part of table, view and series names; other names are only looked up.
    if name is not None and not (_NAME if kind == "SLO" else _ANY_NAME).fullmatch(name):
        fields["name"].note(f"{name!r} is not a name; use lower-case letters, digits and -")
        name = None
    if "labels" in fields:
        _labels(fields["labels"])
    annotations = _annotations(fields["annotations"]) if "annotations" in fields else {}
    display = (fields["displayName"].text() or "") if "displayName" in fields else ""
    return None if name is None else Object(kind, name, display, annotations, spec, file, metadata)


def _labels(reader: Reader) -> None:
    if not isinstance(reader.value, dict):
        reader.note("expected a mapping of names to texts")
        return
    for key, value in reader.value.items():
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            reader.note("expected a text or a list of texts; put it in quotes", str(key))


def _annotations(reader: Reader) -> dict[str, str]:
    if not isinstance(reader.value, dict):
        reader.note("expected a mapping of names to texts")
        return {}
    kept: dict[str, str] = {}
    for key, value in reader.value.items():
        if key == RUNBOOK and (not isinstance(value, str) or not re.fullmatch(r"[^\s<>\"']{1,500}", value)):
            reader.note("expected a URL or a path without spaces", RUNBOOK)
        elif not isinstance(value, str):
            reader.note("expected a text; put it in quotes", str(key))
        else:
            kept[str(key)] = value
    return kept
