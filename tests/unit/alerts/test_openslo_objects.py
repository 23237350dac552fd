"""OpenSLO v1 whole: several documents and kinds, references, thresholds, slices, calendars, alert policies; v1alpha."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from alerts import slos
from alerts.burnrate import Rule
from alerts.document import errors
from alerts.filters import parse
from alerts.slos.model import MAX_GROUPS, Service, Target
from alerts.slos.window import Calendar
from tests.unit.alerts.alerts_support import write

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: charges, displayName: Charges}
spec:
  service: payments
  indicatorRef: reached
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
  alertPolicies:
    - alertPolicyRef: fast-burn
"""
SLI = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: reached}
spec:
  ratioMetric:
    good: {metricSource: {type: edgepath, spec: {filter: reached_api}}}
    total: {metricSource: {metricSourceRef: paths, spec: {filter: "outcome != 'blocked'", groupBy: route, maxGroups: 50}}}
"""
SOURCE = """\
apiVersion: openslo/v1
kind: DataSource
metadata: {name: paths}
spec: {type: edgepath}
"""
SERVICE = """\
apiVersion: openslo/v1
kind: Service
metadata: {name: payments, displayName: Payments}
spec: {description: Takes money.}
"""
POLICY = """\
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast-burn}
spec:
  alertWhenResolved: false
  alertWhenNoData: true
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: on-call}]
"""
CONDITION = """\
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast, annotations: {edgepath/shortWindow: 10m}}
spec:
  severity: page
  condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 2m}
"""
TARGET = """\
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: on-call, annotations: {edgepath/urlFrom: "env:PAGERDUTY_KEY"}}
spec: {target: PagerDuty, description: Whoever has the phone.}
"""
ALL = (SLO, SLI, SOURCE, SERVICE, POLICY, CONDITION, TARGET)


def catalog(tmp_path: Path, *documents: str) -> slos.Catalog:
    """What the documents, in one file, define."""
    return slos.load_catalog([write(tmp_path / "all.yaml", "---\n".join(documents))])


def problems(tmp_path: Path, *documents: str) -> list[str]:
    """Their problems, without the file's name and the documents' numbers."""
    path = write(tmp_path / "all.yaml", "---\n".join(documents))
    found = slos.try_catalog([path])[1]
    return [str(p).removeprefix(f"{path}: ").split(".", 1)[-1] for p in found]


def test_documents_of_every_kind_refer_to_each_other(tmp_path: Path) -> None:
    found = catalog(tmp_path, *ALL)
    (slo,) = found.slos
    assert (slo.name, slo.service, slo.group_by, slo.max_groups) == ("charges", "payments", "route", 50)
    assert (slo.good, slo.total) == (parse("reached_api"), parse("outcome != 'blocked'"))
    assert found.services == (Service("payments", "Payments", "Takes money."),)
    (target,) = found.targets
    assert target == Target("on-call", "pagerduty", "", "PAGERDUTY_KEY", "Whoever has the phone.", target.file)
    (alerting,) = slo.alerting
    assert alerting.rule == Rule("page", 3600, 600, Decimal("14.4"), 120)
    assert (alerting.targets, alerting.when_resolved, alerting.when_no_data) == (("on-call",), False, True)


def test_they_may_stand_in_several_files(tmp_path: Path) -> None:
    for number, document in enumerate(ALL):
        write(tmp_path / f"{number}.yaml", document)
    assert [s.name for s in slos.load([tmp_path])] == ["charges"]


def test_conditions_and_targets_may_stand_inside(tmp_path: Path) -> None:
    """Inline, as in OpenSLO's own examples; the short window is a twelfth of the long one, as the Workbook advises."""
    inline = """\
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: slow-burn}
      spec:
        conditions:
          - kind: AlertCondition
            metadata: {name: slow}
            spec: {severity: ticket, condition: {kind: burnrate, threshold: 1, lookbackWindow: 3d, alertAfter: 5m}}
        notificationTargets:
          - kind: AlertNotificationTarget
            metadata: {name: chat, annotations: {edgepath/url: "https://chat.test/hook"}}
            spec: {target: slack}
"""
    found = catalog(tmp_path, SLO.split("  alertPolicies:", maxsplit=1)[0] + inline, SLI, SOURCE)
    (alerting,) = found.slos[0].alerting
    assert alerting.rule == Rule("ticket", 259_200, 21_600, Decimal(1), 300)
    assert [(t.name, t.kind, t.url) for t in found.targets] == [("chat", "slack", "https://chat.test/hook")]


THRESHOLD = SLO.replace(
    "  indicatorRef: reached\n",
    """\
  indicator:
    metadata: {name: i}
    spec:
      thresholdMetric:
        metricSource: {type: edgepath, spec: {metric: gateway.self_ns, unit: ms, filter: reached_api, groupBy: pop}}
""",
).split("  alertPolicies")[0]


def test_a_threshold_metric_compares_a_hops_own_time(tmp_path: Path) -> None:
    text = THRESHOLD.replace("{target: 0.999}", "{op: lte, value: 12.5, target: 0.99}")
    (slo,) = catalog(tmp_path, text).slos
    assert (slo.good, slo.total, slo.group_by) == (parse("gateway.self_ns <= 12500us"), parse("reached_api"), "pop")
    assert slo.bad_noun == "slow"


def test_several_objectives_are_slos_of_their_own(tmp_path: Path) -> None:
    several = "{op: lt, value: 50, target: 0.9, displayName: Under 50 ms}, {op: lt, value: 1000, target: 0.999}"
    found = catalog(tmp_path, THRESHOLD.replace("{target: 0.999}", several)).slos
    assert [(s.name, s.objective, s.good) for s in found] == [
        ("charges-under-50-ms", Decimal("0.9"), parse("gateway.self_ns < 50ms")),
        ("charges-2", Decimal("0.999"), parse("gateway.self_ns < 1s")),
    ]


def test_timeslices(tmp_path: Path) -> None:
    """OpenSLO: a bare number of a slice's length is in minutes."""
    text = SLO.replace("Occurrences", "Timeslices").split("  alertPolicies")[0]
    for length, seconds in (("5m", 300), ("10", 600)):
        one = text.replace("{target: 0.999}", f"{{target: 0.999, timeSliceTarget: 0.95, timeSliceWindow: {length}}}")
        (slo,) = catalog(tmp_path, one, SLI, SOURCE).slos
        assert (slo.slice_seconds, slo.slice_target, slo.bad_noun) == (seconds, Decimal("0.95"), "bad slices")


def test_a_calendar_window(tmp_path: Path) -> None:
    calendar = "{duration: 1M, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}}"
    (slo,) = catalog(tmp_path, SLO.replace("{duration: 28d, isRolling: true}", calendar), *ALL[1:]).slos
    assert slo.period_seconds == 30 * 86_400
    assert slo.calendar == Calendar(1, "M", datetime(2026, 1, 1), "Europe/Berlin")  # noqa: DTZ001 - local by definition
    assert slo.since(datetime.fromisoformat("2026-08-17T12:00:00+00:00").timestamp()) == (
        datetime.fromisoformat("2026-08-01T00:00:00+02:00").timestamp()
    )


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        (Calendar(1, "M", datetime(2026, 1, 31), "UTC"), "2026-02-15T00", "2026-01-31T00", "2026-02-28T00"),  # noqa: DTZ001
        (Calendar(1, "M", datetime(2026, 1, 31), "UTC"), "2026-03-30T23", "2026-02-28T00", "2026-03-31T00"),  # noqa: DTZ001
        (Calendar(1, "Q", datetime(2026, 1, 1), "UTC"), "2031-06-30T23", "2031-04-01T00", "2031-07-01T00"),  # noqa: DTZ001
        (Calendar(1, "w", datetime(2026, 1, 5), "UTC"), "2025-12-31T10", "2025-12-29T00", "2026-01-05T00"),  # noqa: DTZ001
        (Calendar(1, "Y", datetime(2024, 2, 29), "UTC"), "2026-01-01T00", "2025-02-28T00", "2026-02-28T00"),  # noqa: DTZ001
        # The day on which New York's clocks go forward has 23 hours.
        (Calendar(1, "d", datetime(2026, 1, 1), "America/New_York"), "2026-03-08T12", "2026-03-08T05", "2026-03-09T04"),  # noqa: DTZ001
    ],
)
def test_calendar_bounds(window: Calendar, now: str, start: str, end: str) -> None:
    at = [datetime.fromisoformat(f"{t}:00:00+00:00").timestamp() for t in (now, start, end)]
    assert window.bounds(at[0]) == (at[1], at[2])
    assert window.bounds(at[1]) == (at[1], at[2])


@pytest.mark.parametrize(
    ("hour", "minute", "zone"),
    [(2, 30, "Europe/Berlin"), (1, 30, "America/New_York"), (0, 0, "America/Havana"), (1, 45, "Australia/Lord_Howe")],
)
def test_a_calendar_window_holds_now_also_where_clocks_go_back(hour: int, minute: int, zone: str) -> None:
    """Days that begin in the hour that comes twice, or is left out: every half hour of a year lies in one, and in one only."""
    window = Calendar(1, "d", datetime(2026, 1, 1, hour, minute), zone)  # noqa: DTZ001 - local by definition
    year = datetime.fromisoformat("2026-01-02T00:00:00+00:00").timestamp()
    last = window.bounds(year)
    for now in range(int(year), int(year) + 366 * 86_400, 1800):
        start, end = window.bounds(now)
        assert start <= now < end
        assert start in last
        last = start, end


PROMETHEUS = """\
  indicator:
    metadata: {name: i}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{code=~"5.."}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: "sum(rate(http_requests_total[{{.window}}]))"}}}
"""


def test_an_sli_in_prometheus(tmp_path: Path) -> None:
    found = catalog(tmp_path, SLO.replace("  indicatorRef: reached\n", PROMETHEUS), POLICY, CONDITION, TARGET)
    assert found.slos == ()
    (slo,) = found.prometheus
    assert slo.bad_query == 'sum(rate(http_requests_total{code=~"5.."}[{{window}}]))'
    assert slo.total_query == "sum(rate(http_requests_total[{{window}}]))"


V1ALPHA = """\
apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: old, displayName: Old}
spec:
  service: edge
  timeWindows: [{unit: Day, count: 28, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - displayName: Good
      target: 0.99
      ratioMetrics:
        good: {source: edgepath, queryType: filter, query: outcome = 'ok'}
        total: {source: edgepath, queryType: filter, query: complete, metadata: {groupBy: pop}}
"""


def test_v1alpha_is_read_with_a_note_that_says_what_to_change(tmp_path: Path) -> None:
    path = write(tmp_path / "old.yaml", V1ALPHA)
    (slo,), found = slos.try_load([path])
    assert (slo.good, slo.total, slo.period_seconds) == (parse("outcome = 'ok'"), parse("complete"), 28 * 86_400)
    assert slo.group_by == "pop"
    assert errors(found) == []
    assert [str(p) for p in found] == [
        f"{path}: apiVersion: note: openslo/v1alpha is read; to write openslo/v1: apiVersion: openslo/v1; timeWindows: "
        "becomes timeWindow: with duration: in place of count: and unit:; objectives[].ratioMetrics: becomes "
        "indicator.spec.ratioMetric:"
    ]
    assert slos.load([path]) == [slo]


def test_what_v1_has_no_place_for_in_v1alpha_is_refused_where_it_stands(tmp_path: Path) -> None:
    assert "spec.objectives[0].ratioMetrics: not a known key; remove it" in " ".join(
        problems(tmp_path, V1ALPHA + V1ALPHA.split("  objectives:\n")[1].replace("complete", "not complete"))
    ).replace("objectives[0]", "spec.objectives[0]")


CASES = {
    ("indicatorRef: reached", "indicatorRef: reach"): (
        "spec.indicatorRef: no SLI is named 'reach' in these files; there are: reached"
    ),
    ("  indicatorRef: reached\n", ""): "spec: write either indicator or indicatorRef",
    ("alertPolicyRef: fast-burn", "alertPolicyRef: slow"): "no AlertPolicy is named 'slow' in these files; there are: fast-",
    ("targetRef: on-call", "targetRef: x"): (
        "spec.notificationTargets[0].targetRef: no AlertNotificationTarget is named 'x' in these files; there are: on-call"
    ),
    ("metricSourceRef: paths", "metricSourceRef: path"): "metricSourceRef: no DataSource is named 'path'",
    ("{type: edgepath}", "{type: Datadog}"): "'Datadog' is not read; write edgepath, or Prometheus for rules",
    ("maxGroups: 50", "maxGroups: 0"): "maxGroups: a whole number from 1 to 5000",
    ("threshold: 14.4", "threshold: 0"): "spec.condition.threshold: must be more than 0",
    ("lookbackWindow: 1h", "lookbackWindow: 90s"): "lookbackWindow: a window is two minutes or more, and whole minutes",
    ("edgepath/shortWindow: 10m", "edgepath/shortWindow: 1h"): "must be whole minutes, and less than lookbackWindow",
    ("severity: page", "severity: sev1"): "spec.severity: 'sev1' is not one of page, ticket",
    ("kind: burnrate", "kind: sum"): "spec.condition.kind: 'sum' is not one of burnrate",
    ("alertWhenNoData: true", "alertWhenNoData: yes please"): "spec.alertWhenNoData: expected true or false, found a text",
    ("conditions: [{conditionRef: fast}]", "conditions: []"): (
        "spec.conditions: expected exactly one condition, found 0; write a policy for each"
    ),
    ("{edgepath/urlFrom: \"env:PAGERDUTY_KEY\"}", "{}"): (
        "metadata.annotations: write where to send to: edgepath/urlFrom: env:VARIABLE or file:/PATH (for secrets)"
    ),
    ("env:PAGERDUTY_KEY", "file:run/key"): "edgepath/urlFrom: 'run/key' is no absolute path; write file:/PATH",
    ("env:PAGERDUTY_KEY", "file:"): "write where to send to: edgepath/urlFrom: env:VARIABLE or file:/PATH",
    ("target: PagerDuty", "target: pigeon"): "spec.target: 'pigeon' is not one of alertmanager, pagerduty, slack, webhook",
    ("{duration: 28d, isRolling: true}", "{duration: 1M, isRolling: true}"): (
        "spec.timeWindow[0].duration: 1M has no fixed length; write 30d, or align it to a calendar"
    ),
    ("{duration: 28d, isRolling: true}", "{duration: 1M, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Mars/X}}"): (
        "timeZone: 'Mars/X' is no time zone of the IANA database; write e.g. Europe/Berlin or UTC"
    ),
    ("{duration: 28d, isRolling: true}", "{duration: 2h, calendar: {startTime: now, timeZone: UTC}}"): (
        "duration: '2h' is not the length of a calendar window; write days to years, e.g. 1w, 1M, 1Q"
    ),
    ("{target: 0.999}", "{target: 0.999, op: lt, value: 3}"): "op: only a thresholdMetric is compared with a value; remove it",
    ("{target: 0.999}", "{target: 0.999, timeSliceWindow: 5m}"): "only budgetingMethod: Timeslices has slices; remove it",
    ("{target: 0.999}", "[]"): "spec.objectives[0]: expected a mapping",
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CASES.items(), ids=[m[:50] for m in CASES.values()])
def test_problems_name_the_place_and_the_mend(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = "---\n".join(ALL)
    assert change[0] in text
    found = problems(tmp_path, text.replace(change[0], change[1], 1))
    assert any(message in p for p in found), found


def test_what_nothing_refers_to_is_checked_as_well(tmp_path: Path) -> None:
    found = problems(tmp_path, CONDITION.replace("page", "wake"), SLI.replace("reached_api", "reached"))
    assert len(found) == 3, found  # the severity, the filter, the data source that is not there


def test_groups_are_bounded_by_default(tmp_path: Path) -> None:
    (slo,) = catalog(tmp_path, SLO, SLI.replace(", maxGroups: 50", ""), *ALL[2:]).slos
    assert slo.max_groups == MAX_GROUPS == 200
