"""One incident is one page: grouping, joining, and when not to. And the words of it."""

from dataclasses import replace
from typing import Any

import pytest

from alerts.blame import Blame
from alerts.incidents import Incident, regroup
from alerts.notify.alertmanager import alert
from alerts.outage import blind_event
from alerts.page import Member, PageEvent, event_from
from tests.unit.alerts.alerts_support import T0, make_event


def fires(
    pop: str = "fra", *, slo: str = "edge-availability", bad: float = 10, at: float = T0, **more: Any
) -> PageEvent:
    """An alert that fires."""
    return make_event(
        dedup_key=f"edgepath/{slo}/prod/pop/{pop}/page", slo=slo, value=pop, bad_events=bad, at=at, started=at, **more
    )


def clears(event: PageEvent, at: float) -> PageEvent:
    """The same alert, resolved."""
    return replace(event, kind="resolve", at=at)


def play(*rounds: tuple[float, list[PageEvent]], group: float = 600) -> list[tuple[str, str, float]]:
    """What is told, as (kind, key's SLO and PoP, time), of changes at some times."""
    incidents: dict[str, Incident] = {}
    told: list[tuple[str, str, float]] = []
    for now, changes in rounds:
        incidents, events = regroup(incidents, changes, group, now)
        told += [(e.kind, "/".join(e.dedup_key.split("/")[i] for i in (1, 4)), now) for e in events]
    return told


def test_pops_that_fail_together_are_one_page_headed_by_the_worst() -> None:
    _, (page,) = regroup({}, [fires("fra"), fires("iad", bad=99), fires("sin")], 600, T0)
    assert (page.kind, page.value, [m.value for m in page.members]) == ("trigger", "iad", ["iad", "fra", "sin"])
    assert page.summary.startswith("PAGE edge-availability iad +2: 35% errors, burn 350x, ")
    assert "3 alerts, one incident: edge-availability iad 35% errors, edge-availability fra 35% errors" in page.text


def test_another_slo_of_the_service_joins_and_wakes_nobody() -> None:
    latency = fires("fra", slo="edge-latency", at=T0 + 120)
    told = play(
        (T0, [fires()]),
        (T0 + 120, [latency]),
        (T0 + 500, [clears(fires(), T0 + 500)]),
        (T0 + 600, [clears(latency, T0 + 600)]),
    )
    assert told == [
        ("trigger", "edge-availability/fra", T0),
        ("update", "edge-availability/fra", T0 + 120),
        ("resolve", "edge-availability/fra", T0 + 600),
    ]


def test_what_cannot_be_seen_is_an_incident_for_each_cause() -> None:
    """Lost telemetry in one PoP must not hide in the page about another one without traffic, or the other way round."""

    def blind(cause: str, pop: str) -> PageEvent:
        return blind_event(
            "trigger", cause, f"edgepath/~{cause}/prod/pop/{pop}/page", "page", "dark", T0, T0, "prod", pop
        )

    _, pages = regroup(
        {}, [blind("no-telemetry", "fra"), blind("silent", "gru"), blind("no-telemetry", "sin")], 600, T0
    )
    assert [(page.cause, [m.value for m in page.members]) for page in pages] == [
        ("no-telemetry", ["fra", "sin"]),
        ("silent", []),
    ]
    assert pages[0].summary == "PAGE fra +1: dark"
    assert "2 alerts, one incident: fra, sin" in pages[0].text


def test_what_fires_much_later_pages_by_itself() -> None:
    """A trouble that stays open for days must not swallow the next outage."""
    assert [t[:2] for t in play((T0, [fires()]), (T0 + 3600, [fires("iad", at=T0 + 3600)]))] == [
        ("trigger", "edge-availability/fra"),
        ("trigger", "edge-availability/iad"),
    ]


@pytest.mark.parametrize(
    "change", [{"service": "payments"}, {"environment": "test"}, {"severity": "ticket"}, {"targets": ("x",)}]
)
def test_other_services_environments_severities_and_targets_are_other_incidents(change: dict[str, Any]) -> None:
    assert [t[0] for t in play((T0, [fires()]), (T0 + 60, [fires("iad", at=T0 + 60, **change)]))] == [
        "trigger",
        "trigger",
    ]


def test_without_grouping_every_alert_is_a_page() -> None:
    assert [t[0] for t in play((T0, [fires("fra"), fires("iad")]), group=0)] == ["trigger", "trigger"]


def test_a_member_that_fires_again_while_its_incident_is_open_is_no_second_page() -> None:
    iad = fires("iad")
    told = play(
        (T0, [fires(), iad]),
        (T0 + 60, [clears(fires(), T0 + 60)]),
        (T0 + 120, [fires(at=T0 + 120)]),
        (T0 + 300, [clears(iad, T0 + 300), clears(fires(), T0 + 300)]),
    )
    assert [t[0] for t in told] == ["trigger", "update", "resolve"]


def test_an_alert_whose_old_incident_is_still_open_for_others_gets_a_key_of_its_own() -> None:
    iad = fires("iad", bad=1)
    incidents, _ = regroup({}, [fires(bad=9), iad], 600, T0)
    incidents, told = regroup(incidents, [clears(fires(), T0 + 60)], 600, T0 + 60)
    assert told == []
    incidents, (again,) = regroup(incidents, [fires(at=T0 + 7200)], 600, T0 + 7200)
    assert (again.kind, again.dedup_key) == (
        "trigger",
        f"edgepath/edge-availability/prod/pop/fra/page@{int(T0) + 7200}",
    )
    (first,) = [i.event for i in incidents.values() if i.event.started == T0]
    assert alert(again)["labels"] == {**alert(first)["labels"], "incident": str(int(T0) + 7200)}, (
        "or it would be the same"
    )
    incidents, (end,) = regroup(incidents, [clears(fires(), T0 + 7300)], 600, T0 + 7300)
    assert alert(end)["labels"] == alert(again)["labels"]
    assert (end.kind, end.dedup_key, end.started) == ("resolve", again.dedup_key, again.started)
    assert regroup(incidents, [clears(iad, T0 + 7400)], 600, T0 + 7400)[0] == {}


def test_what_fires_again_as_the_rest_of_its_old_incident_ends_is_a_page_of_its_own() -> None:
    """PagerDuty wakes nobody for a key that it has not seen the end of."""
    iad = fires("iad", bad=1)
    incidents, _ = regroup({}, [fires(bad=9), iad], 600, T0)
    incidents, _ = regroup(incidents, [clears(fires(), T0 + 60)], 600, T0 + 60)
    later = T0 + 7200
    incidents, told = regroup(incidents, [fires(at=later), clears(iad, later)], 600, later)
    assert [(e.kind, e.started) for e in told] == [("resolve", T0), ("trigger", later)]
    assert len({e.dedup_key for e in told}) == 1
    assert [i.event.started for i in incidents.values()] == [later]


@pytest.mark.parametrize(
    ("last", "same"),
    [
        ({}, True),
        ({"slo": "edge-latency"}, False),
        ({"dimension": "", "value": ""}, False),
        ({"cause": "sustained", "factor": ""}, False),
    ],
)
def test_a_receiver_knows_the_end_by_what_named_the_beginning(last: dict[str, Any], same: bool) -> None:
    """Whichever alert ends last. Its counts are told if they are those of the alert that heads the page."""
    first, joins = fires(), replace(fires(pop="iad", at=T0 + 60), **last, dedup_key="other")
    incidents, (opened,) = regroup({}, [first], 600, T0)
    incidents, _ = regroup(incidents, [joins], 600, T0 + 60)
    ends = [joins, first] if same else [first, joins]
    quiet: dict[str, Any] = {
        "long_burn": 0.5,
        "short_burn": 0.25,
        "error_ratio": 0.125,
        "bad_events": 3.0,
        "total_events": 9.0,
    }
    incidents, _ = regroup(incidents, [clears(ends[0], T0 + 600)], 600, T0 + 600)
    incidents, (end,) = regroup(incidents, [replace(clears(ends[1], T0 + 700), **quiet)], 600, T0 + 700)
    assert incidents == {}
    assert (end.kind, end.at, end.started, end.dedup_key) == ("resolve", T0 + 700, T0, opened.dedup_key)
    assert alert(end)["labels"] == alert(opened)["labels"]
    assert ("burn rate 0.5x" in end.text) == same
    assert "350x" not in end.text
    assert end.summary == "RESOLVED edge-availability fra +1: after 11m 40s, was edge envoy-fra UF"


def test_who_is_told_of_the_end_is_for_the_slos_own_policies_to_say() -> None:
    """``alertWhenResolved: false``; another SLO that ends last says nothing about it."""
    opened = fires(targets=("slack", "pager"))
    incidents, _ = regroup({}, [opened], 600, T0)
    assert regroup(incidents, [replace(clears(opened, T0 + 60), targets=("pager",))], 600, T0 + 60)[1][0].targets == (
        "pager",
    )
    latency = fires(slo="edge-latency", at=T0 + 1, targets=("slack", "pager"))
    incidents, _ = regroup(incidents, [latency], 600, T0 + 1)
    incidents, _ = regroup(incidents, [clears(opened, T0 + 60)], 600, T0 + 60)
    (end,) = regroup(incidents, [replace(clears(latency, T0 + 90), targets=())], 600, T0 + 90)[1]
    assert end.targets == ("slack", "pager")


@pytest.mark.parametrize("first", [0, 1])
def test_a_target_that_only_one_of_the_alerts_has_told_hears_of_the_end(first: int) -> None:
    """Whichever ends last; one that wants to hear of no end does not."""
    alerts = [fires("fra", targets=("chat", "quiet")), fires("iad", targets=("chat", "quiet"), bad=1)]
    incidents, _ = regroup({}, alerts, 600, T0)
    incidents, (more,) = regroup(incidents, [replace(alerts[0], targets=("pager",), addressed=True)], 600, T0 + 60)
    assert (more.targets, more.addressed) == (("pager",), True)
    ends = [
        replace(clears(alerts[0], T0 + 90), targets=("chat", "pager")),
        replace(clears(alerts[1], T0 + 90), targets=("chat",)),
    ]
    incidents, told = regroup(incidents, [ends[first]], 600, T0 + 90)
    assert told == []
    incidents, (end,) = regroup(incidents, [ends[1 - first]], 600, T0 + 120)
    assert sorted(end.targets) == ["chat", "pager"]


def test_the_resolve_of_an_alert_that_no_incident_knows_is_told() -> None:
    assert [e.kind for e in regroup({}, [clears(fires(), T0)], 600, T0)[1]] == ["resolve"]


def test_ids_differ_from_event_to_event_and_stay_from_attempt_to_attempt() -> None:
    page = fires()
    grown = replace(page, kind="update", members=(Member("a", "s", "v", 0.1, "errors"),) * 2)
    assert len({page.id, clears(page, T0 + 1).id, grown.id, replace(grown, members=grown.members * 2).id}) == 4
    assert replace(page, at=T0 + 60).id == page.id


def test_a_sampled_burn_rate_says_how_sure_it_is() -> None:
    event = make_event(long_low=150.2, confidence="95%")
    assert "burn rate 180x over 1h (sampled: 150x or more, 95% sure), 350x over 5m" in event.text
    assert event_from(event.to_dict()) == event


def test_time_to_exhaustion_is_told_of_what_goes_on() -> None:
    assert "budget left: 73% of 30d, gone in 1h 30m at this rate" in make_event(exhausted_in=5400.0).text
    assert "budget left: -20% of 30d, none to lose" in make_event(budget_left=-0.2, exhausted_in=0.0).text
    assert "at this rate" not in make_event(kind="resolve", exhausted_in=5400.0).text


def test_sustained_failure_says_that_requests_are_few() -> None:
    event = make_event(
        cause="sustained",
        factor="",
        long_seconds=7200,
        short_seconds=1800,
        error_ratio=1.0,
        bad_events=6.0,
        total_events=6.0,
    )
    assert event.summary == "PAGE edge-availability fra: 100% errors, few requests, goes on, edge envoy-fra UF"
    assert "the last 4 stretches of 30m that saw any request were bad, 6 of 6" in event.text


def test_a_drill_says_so_first() -> None:
    event = make_event(drill=True, environment="edgepath-drill", blame=(Blame("edge", "drill", "", "", 5, 5),))
    assert event.summary.startswith("DRILL PAGE edge-availability")
    assert "This is a drill: nothing is wrong" in event.text


def test_payloads_of_an_older_release_are_read() -> None:
    """State files and the outbox outlive an upgrade."""
    payload = make_event().to_dict()
    for key in ("members", "targets", "cause", "long_low", "confidence", "exhausted_in", "drill"):
        del payload[key]
    assert event_from(payload) == make_event()
