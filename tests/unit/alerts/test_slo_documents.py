"""OpenSLO documents: what is read, and every problem with its place and mend."""

from decimal import Decimal
from pathlib import Path

import pytest

from alerts import slos
from alerts.document import Problem, ProblemsError
from alerts.filters import parse
from alerts.filters.syntax import Not
from telemetry.errors import ConfigurationError
from tests.unit.alerts.alerts_support import write

GOOD = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: a-b
  displayName: A and B
  annotations:
    edgepath/runbook: https://runbooks.test/a
spec:
  description: Whatever.
  service: edge
  indicator:
    metadata: {name: a-b}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: edgepath
            spec:
              filter: outcome = 'ok'
        total:
          metricSource:
            type: edgepath
            spec:
              filter: outcome != 'blocked'
              groupBy: pop
  timeWindow:
    - duration: 28d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: Good
      target: 0.999
"""


def problems_of(tmp_path: Path, text: str) -> list[str]:
    """The problems of a file with that text, without the file's name."""
    path = write(tmp_path / "x.yaml", text)
    found = slos.try_load([path])[1]
    assert all(p.file == str(path) for p in found)
    return [str(p).removeprefix(f"{path}: ") for p in found]


def test_a_good_document_is_read_whole(tmp_path: Path) -> None:
    (slo,) = slos.load([write(tmp_path / "x.yaml", GOOD)])
    assert (slo.name, slo.display_name, slo.service) == ("a-b", "A and B", "edge")
    assert slo.objective == Decimal("0.999")
    assert slo.period_seconds == 28 * 86_400
    assert (slo.good, slo.total) == (parse("outcome = 'ok'"), parse("outcome != 'blocked'"))
    assert (slo.group_by, slo.runbook) == ("pop", "https://runbooks.test/a")


def test_objectives_are_decimals_never_binary_floats(tmp_path: Path) -> None:
    """99.9 % is exactly 0.999, its budget exactly 0.001."""
    text = GOOD.replace("target: 0.999", "targetPercent: 99.9")
    (slo,) = slos.load([write(tmp_path / "x.yaml", text)])
    assert slo.objective == Decimal("0.999")
    assert 1 - slo.objective == Decimal("0.001")


def test_bad_instead_of_good_is_its_opposite(tmp_path: Path) -> None:
    (slo,) = slos.load([write(tmp_path / "x.yaml", GOOD.replace("        good:", "        bad:"))])
    assert slo.good == Not(parse("outcome = 'ok'"))


def test_what_a_bad_event_is_called(tmp_path: Path) -> None:
    (slo,) = slos.load([write(tmp_path / "x.yaml", GOOD.replace("outcome = 'ok'", "edge_ns < 5ms"))])
    assert slo.bad_noun == "slow"


RATIO = "spec.indicator.spec.ratioMetric"
CASES = {
    ("target: 0.999", "target: 99.9"): "spec.objectives[0].target: 99.9 is not a ratio; write 0.999",
    ("target: 0.999", "target: 1"): "spec.objectives[0].target: 1 is out of range; a ratio lies between 0 and 1, both excluded",
    ("target: 0.999", "target: 1e-99999999"): (
        "spec.objectives[0].target: expected a number, found a text"
    ),
    ("target: 0.999", "target: 1.0e-99999999"): (
        "spec.objectives[0].target: 1.0E-99999999 is not a number that can be used here"
    ),
    ("target: 0.999", "target: .nan"): "spec.objectives[0].target: NaN is not a number that can be used here",
    ("target: 0.999", "targetPercent: 100"): (
        "spec.objectives[0].targetPercent: 100 is out of range; a percentage lies between 0 and 100, both excluded"
    ),
    ("target: 0.999", "target: '0.999'"): "spec.objectives[0].target: expected a number, found a text",
    ("      target: 0.999\n", ""): (
        "spec.objectives[0]: write either target (a ratio, e.g. 0.999) or targetPercent (e.g. 99.9)"
    ),
    ("openslo/v1", "openslo/v2alpha"): "apiVersion: 'openslo/v2alpha' is not read; write openslo/v1",
    ("kind: SLO", "kind: Slo"): "kind: 'Slo' is not one of SLO, SLI, AlertPolicy, AlertCondition",
    ("  name: a-b\n", "  name: A B\n"): "metadata.name: 'A B' is not a name; use lower-case letters, digits and -",
    ("  name: a-b\n", ""): "metadata.name: missing",
    ("https://runbooks.test/a", "'has spaces'"): (
        "metadata.annotations.edgepath/runbook: expected a URL or a path without spaces"
    ),
    ("  service: edge\n", ""): "spec.service: missing",
    ("  service: edge\n", "  servce: edge\n  service: edge\n"): (
        "spec.servce: not a known key; did you mean service?"
    ),
    ("Occurrences", "RatioTimeslices"): "spec.budgetingMethod: 'RatioTimeslices' is not one of Occurrences, Timeslices",
    ("Occurrences", "Timeslices"): "spec.objectives[0].timeSliceTarget: missing",
    ("duration: 28d", "duration: 28"): (
        "spec.timeWindow[0].duration: 28 is not a duration; write a number and one of s, m, h, d, w, e.g. 30d"
    ),
    ("duration: 28d", "duration: 1m"): (
        "spec.timeWindow[0].duration: a period lies between 1h and 400d, which is how long counts are kept"
    ),
    ("isRolling: true", "isRolling: false"): (
        "spec.timeWindow[0].isRolling: a window that does not roll needs calendar: {startTime: ..., timeZone: ...}"
    ),
    ("groupBy: pop", "groupBy: outcome"): (
        f"{RATIO}.total.metricSource.spec.groupBy: 'outcome' is not one of region, pop, route, method"
    ),
    ("outcome = 'ok'", "outcome = 'okay'"): (
        f"{RATIO}.good.metricSource.spec.filter: at character 11: 'okay' is no outcome; there are ok, client_error, "
        "throttled, blocked, edge_error, api_error, timeout, cancelled"
    ),
    ("        good:", "        raw:"): (
        f"{RATIO}.raw: a ratio made elsewhere cannot be weighted or windowed; write total with good or bad"
    ),
    ("        good:", "        goood:"): f"{RATIO}.goood: not a known key; did you mean good?",
    ("ratioMetric:", "thresholdMetric:"): "spec.indicator.spec.thresholdMetric.metricSource: missing",
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CASES.items(), ids=[m[:60] for m in CASES.values()])
def test_problems_name_the_path_and_the_mend(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    found = problems_of(tmp_path, GOOD.replace(change[0], change[1], 1))
    assert any(p.startswith(message) for p in found), found


def test_all_problems_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("0.999", "99.9")
        .replace("28d", "x")
        .replace("outcome = 'ok'", "nope = 1")
        .replace("a-b\n  d", "!\n  d")
    )
    assert len(problems_of(tmp_path, text)) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no document"),
        ("- 1", "expected a mapping with apiVersion, kind, metadata, spec, found a list"),
        ("a: [", "line 1: not readable as YAML"),
        ("a: 1\na: 2", "line 2: not readable as YAML: the key a stands twice"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: not readable as YAML"),
        ("a: &a [*a]", "apiVersion: missing"),
        ("{[1]: 2}", "line 1: not readable as YAML"),
        ("? {a: 1}\n: 2", "line 1: not readable as YAML"),
        ("x" * 1_000_001, "larger than 1000000 characters; split it"),
        ("[" * 5000, "not readable as YAML"),
    ],
)
def test_files_that_are_no_slo_documents(tmp_path: Path, text: str, message: str) -> None:
    assert any(message in p for p in problems_of(tmp_path, text))


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    assert str(slos.try_load([tmp_path / "a.yaml"])[1][0]).endswith("a.yaml: cannot be read: No such file or directory")
    assert str(slos.try_load([tmp_path / "b.yaml"])[1][0]).endswith("b.yaml: cannot be read: it is not UTF-8 text")
    assert str(slos.try_load([tmp_path / "empty"])[1][0]).endswith("empty: holds no .yaml file")


def test_a_directory_stands_for_its_files_and_names_are_unique(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", GOOD)
    write(tmp_path / "b.yml", GOOD)
    write(tmp_path / "c.txt", "no")
    found, problems = slos.try_load([tmp_path])
    assert len(found) == 1
    assert problems == [
        Problem(f"{tmp_path}/b.yml", "metadata.name", f"'a-b' is also defined in {tmp_path}/a.yaml; rename")
    ]


def test_several_documents_in_a_file_name_their_number(tmp_path: Path) -> None:
    text = f"{GOOD}---\n{GOOD.replace('a-b', 'c').replace('0.999', '99.9')}"
    assert problems_of(tmp_path, text) == ["document 2.spec.objectives[0].target: 99.9 is not a ratio; write 0.999"]


def test_load_raises_one_line_and_keeps_all_problems(tmp_path: Path) -> None:
    path = write(tmp_path / "x.yaml", GOOD.replace("0.999", "99.9").replace("28d", "x"))
    with pytest.raises(ConfigurationError) as caught:
        slos.load([path])
    assert isinstance(caught.value, ProblemsError)
    assert len(caught.value.problems) == 2
    assert str(caught.value).endswith("(and 1 more)")
    assert "\n" not in str(caught.value)


def test_the_shipped_slos() -> None:
    found = {s.name: s for s in slos.load()}
    assert {n: s.objective for n, s in found.items()} == {
        "edge-availability": Decimal("0.999"),
        "edge-latency": Decimal("0.99"),
    }
    assert {(s.group_by, s.period_seconds, s.service) for s in found.values()} == {("pop", 30 * 86_400, "edge")}
