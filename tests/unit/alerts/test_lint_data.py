"""SLOs against the last day of data."""

from decimal import Decimal

from alerts.burnrate import Rule
from alerts.document import errors
from alerts.filters import parse
from alerts.filters.syntax import Filter, Not
from alerts.lint import lint, notes
from alerts.lint_data import lint_data
from alerts.slos.model import Alerting
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, WORKBOOK, append_paths, make_policy, make_slo, path_row


def messages(store: Store, **changes: object) -> list[str]:
    """What is said of an SLO."""
    return [str(p) for p in lint_data(store, [make_slo(**changes)], WORKBOOK, T0 + 60)]


def test_without_any_data_there_is_nothing_to_check_against(store: Store) -> None:
    append_paths(store, [path_row(start=int(T0 - 2 * 86_400) * 10**9), path_row(environment="edgepath-drill")])
    assert messages(store) == [
        "a.yaml: edge-availability: no request path at all is stored of the last day: nothing to check it against"
    ]


def test_an_sli_that_matches_nothing_is_refused(store: Store) -> None:
    append_paths(store, [path_row()])
    (message,) = messages(store, total=parse("route = '/v2/nowhere'"))
    assert message == (
        "a.yaml: spec.indicator: edge-availability: matches none of the last day's request paths; is the filter of total right?"
    )


def test_a_threshold_that_nothing_can_meet_is_refused(store: Store) -> None:
    """250us where 250ms was meant. One that everything meets is health."""
    append_paths(store, [path_row(edge_ns=ns) for ns in (10**6, 9 * 10**7)] * 3000)
    found = lint_data(store, [make_slo(good=parse("edge_ns < 250us"))], WORKBOOK, T0 + 60)
    assert [p.message for p in errors(found)] == [
        "edge-availability: edge_ns < 250us is under all that was seen in the last day (1ms to 90ms): no request can be good; "
        "is the unit right?"
    ]
    assert errors(lint_data(store, [make_slo(good=parse("edge_ns < 10s"))], WORKBOOK, T0 + 60)) == []


def test_a_threshold_is_seen_however_it_is_written(store: Store) -> None:
    """As a filter for bad requests, from below, and in an opposite; not where another term may make a request good."""
    append_paths(store, [path_row(edge_ns=ns) for ns in (10**6, 9 * 10**7)] * 3000)

    def said(good: Filter) -> list[str]:
        found = errors(lint_data(store, [make_slo(good=good)], WORKBOOK, T0 + 60))
        return [p.message.split(": ")[1].partition(" that was")[0] for p in found]

    assert said(Not(parse("edge_ns >= 250us"))) == ["edge_ns < 250us is under all"]
    assert said(Not(parse("edge_ns > 250us or status = 500"))) == ["edge_ns <= 250us is under all"]
    assert said(parse("edge_ns > 10s")) == ["edge_ns > 10s is over all"]
    assert said(parse("edge_ns >= 10s and reached_api")) == ["edge_ns >= 10s is over all"]
    assert said(Not(parse("edge_ns >= 10s"))) == said(parse("edge_ns > 250us")) == []
    assert said(Not(parse("edge_ns >= 250us and reached_api"))) == said(parse("edge_ns > 10s or reached_api")) == []


def test_a_page_about_an_slo_that_is_met_is_noted() -> None:
    """The shipped policy over three days asks for 1.44x and 0.6x."""
    (note,) = notes([make_slo(period_seconds=3 * 86_400)], WORKBOOK)
    assert note.note
    assert "the page over 6h/30m fires at a burn rate over 0.6, at which a period of 3d does not use" in note.message
    assert notes([make_slo(period_seconds=28 * 86_400)], WORKBOOK) == []


def test_too_many_groups_and_too_few_requests_are_noted(store: Store) -> None:
    append_paths(store, [path_row(route=f"/r{n}") for n in range(30)])
    found = lint_data(store, [make_slo(group_by="route", max_groups=20)], WORKBOOK, T0 + 60)
    assert errors(found) == []
    assert "30 values of route in the last day; the 20 largest are watched by themselves" in found[0].message
    assert "one bad request in 1h is over 14.4x" in found[1].message


def test_windows_that_slices_or_buckets_cannot_tell_apart_are_refused() -> None:
    def said(**changes: object) -> list[str]:
        return [p.message for p in errors(lint([make_slo(**changes)], WORKBOOK))]

    assert "cannot be told apart by slices of 15m" in said(slice_seconds=900, slice_target=Decimal("0.9"))[0]
    assert said(slice_seconds=60, slice_target=Decimal("0.9")) == []
    fine = Rule("page", 3600, 60, Decimal(14))
    assert "cannot be told apart by buckets of 1m" in said(alerting=(Alerting("own", fine, ()),))[0]
    odd = Rule("page", 3600, 90, Decimal(14))
    assert "no multiples of the resolution" in said(alerting=(Alerting("own", odd, ()),))[0]


def test_an_slos_own_policy_is_checked_and_named() -> None:
    never = Alerting("own", Rule("page", 3600, 300, Decimal(1000)), ())
    (problem,) = errors(lint([make_slo(alerting=(never,))], WORKBOOK))
    assert problem.message.endswith(
        "asks for 100% bad requests; raise the objective or lower the factor in alert policy own"
    )


def test_a_floor_without_a_rule_under_it_is_noted() -> None:
    assert lint([make_slo()], make_policy(min_bad_paths=5)) == []
    (note,) = notes([make_slo()], make_policy(min_bad_paths=5))
    assert note.note
    assert "give the policy a sustained: rule" in note.message
