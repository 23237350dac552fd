"""The words and the payload of a page, and the blame on the real engine."""

import json
from typing import Any

import pytest

from alerts.blame import Blame, blame
from alerts.filters import parse
from alerts.page import dashboard_url, event_from
from alerts.sli_reads import Group
from telemetry.errors import StoreError
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, append_paths, make_event, make_slo, path_row

FRA = Group("edge-availability", "prod", "pop", "fra")


def test_the_first_line_fits_a_phone() -> None:
    line = make_event().summary
    assert line == "PAGE edge-availability fra: 35% errors, burn 350x, edge envoy-fra UF"
    assert len(line) <= 80


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"severity": "ticket", "error_ratio": 0.0042, "short_burn": 4.2},
            "TICKET edge-availability fra: 0.42% errors, burn 4.2x, ",
        ),
        ({"bad_noun": "slow", "slo": "edge-latency"}, "PAGE edge-latency fra: 35% slow, burn 350x, "),
        ({"dimension": "", "value": "", "blame": ()}, "PAGE edge-availability: 35% errors, burn 350x"),
        ({"kind": "resolve", "at": T0 + 100}, "RESOLVED edge-availability fra: after 1m 40s, was edge envoy-fra UF"),
        ({"kind": "resolve", "at": T0 + 7300, "blame": ()}, "RESOLVED edge-availability fra: after 2h 1m"),
    ],
)  # fmt: skip
def test_first_lines(changes: dict[str, object], line: str) -> None:
    assert make_event(**changes).summary.startswith(line)


def test_the_whole_message_says_what_one_needs_to_start() -> None:
    assert make_event().text == (
        "PAGE edge-availability fra: 35% errors, burn 350x, edge envoy-fra UF\n"
        "Requests reach the API.\n"
        "burn rate 180x over 1h, 350x over 5m (pages over 14.4x in 1h and 5m); objective 0.999\n"
        "budget left: 73% of 30d\n"
        "blamed: edge envoy-fra fra UF: 880 requests\n"
        "blamed: gateway gw fra 503: 20 requests\n"
        "environment: prod\n"
        f"traces: {'0a' * 16} {'0b' * 16}\n"
        "dashboard: http://edgepath.test/d/edgepath-overview?var-pop=fra&from=1&to=2\n"
        "runbook: docs/slo.md#runbook-edge-availability"
    )


def test_the_payload_is_json_and_is_read_back() -> None:
    event = make_event()
    payload = json.loads(json.dumps(event.to_dict()))
    assert event_from(payload) == event
    assert (payload["version"], payload["pop"], payload["tier"]) == (1, "fra", "edge")
    assert payload["started"] == "2096-10-12T08:00:00.000Z"
    with pytest.raises(ValueError, match="not a page"):
        event_from({"version": 1})
    with pytest.raises(ValueError, match="payload version 9"):
        event_from({**payload, "version": 9})


def test_the_pop_is_the_groups_else_the_blamed_one() -> None:
    assert make_event().pop == "fra"
    assert make_event(dimension="route", value="/v1/charges", blame=(Blame("edge", "e", "iad", "", 1, 1),)).pop == "iad"
    assert make_event(dimension="", value="", blame=()).pop == ""


def test_links_name_the_group_and_the_time() -> None:
    assert dashboard_url("http://g.test/", "pop", "fra & co", T0, T0 + 1.5) == (
        "http://g.test/d/edgepath-overview?var-pop=fra+%26+co&from=4000867200000&to=4000867201500"
    )
    assert dashboard_url("", "pop", "fra", 0, 1) == ""
    assert "var-" not in dashboard_url("http://g.test", "", "", 0, 1)


def test_blame_counts_bad_paths_of_the_group_and_the_time(store: Store) -> None:
    """Weighted, the worst first, three traces of the worst; not other PoPs, environments, times, nor good paths."""

    def failed(**more: object) -> dict[str, object]:
        blamed = {"blamed_tier": "edge", "blamed_component": "envoy-fra", "blamed_pop": "fra", "blame_reason": "UF"}
        return path_row(outcome="edge_error", **(blamed | more))

    worst = [failed() for _ in range(5)]
    append_paths(store, worst)
    append_paths(store, [failed(blamed_tier="gateway", blamed_component="gw", blame_reason="503", weight=2.0)])
    append_paths(store, [failed(pop="iad"), failed(environment="test"), path_row(), path_row(outcome="throttled")])
    append_paths(store, [failed(start=int(T0 - 100) * 10**9), failed(start=int(T0 + 100) * 10**9)])
    append_paths(store, [failed(start=int(T0 - 50) * 10**9, total_ns=51 * 10**9)])  # ends inside
    places, traces = blame(store, make_slo(), FRA, T0 - 10, T0 + 10)
    assert places == [
        Blame("edge", "envoy-fra", "fra", "UF", 6.0, 6),
        Blame("gateway", "gw", "fra", "503", 2.0, 1),
    ]
    assert len(set(traces)) == 3
    assert all(len(t) == 32 for t in traces)


def test_slow_paths_are_blamed_on_the_hop_that_took_longest_short_of_the_api(store: Store) -> None:
    hops: dict[str, object] = {
        "hops.tier": ["client", "edge", "gateway", "api"],
        "hops.component": ["load", "envoy-fra", "gw", "api"],
        "hops.pop": ["", "fra", "fra", "fra"],
        "hops.self_ns": [1, 10**6, 4 * 10**8, 9 * 10**9],
        "hops.retry_ns": [0, 0, 0, 0],
        "hops.network_ns": [10**6, 10**6, 10**6, 0],
    }
    append_paths(store, [path_row(edge_ns=10**9, **hops)])
    slo = make_slo(name="edge-latency", total=parse("reached_api"), good=parse("edge_ns < 250ms"))
    places, traces = blame(store, slo, FRA._replace(slo="edge-latency"), T0 - 10, T0 + 10)
    assert places == [Blame("gateway", "gw", "fra", "slow", 1.0, 1)]
    assert len(traces) == 1


def test_a_slow_path_without_hops_is_blamed_on_nobody(store: Store) -> None:
    append_paths(store, [path_row(edge_ns=10**9)])
    slo = make_slo(total=parse("reached_api"), good=parse("edge_ns < 250ms"), group_by="")
    assert blame(store, slo, Group("edge-availability", "prod", "", ""), T0 - 10, T0 + 10)[0] == [
        Blame("", "", "", "slow", 1.0, 1)
    ]


def test_a_restated_path_is_blamed_as_it_is_now(store: Store) -> None:
    """Late spans told that another hop failed, or none at all: the old version neither counts nor is an example."""
    failed: dict[str, Any] = {"outcome": "edge_error", "blamed_tier": "edge", "blamed_component": "envoy-fra"}
    moved, mended, kept = path_row(**failed, weight=4.0), path_row(**failed, weight=8.0), path_row(**failed)
    append_paths(store, [moved, mended, kept])
    append_paths(
        store,
        [
            *({**old, "sign": -1} for old in (moved, mended)),
            {**moved, "version": 2, "blamed_tier": "gateway", "blamed_component": "gw"},
            {**mended, "version": 2, "outcome": "ok", "blamed_tier": "", "blamed_component": ""},
        ],
    )
    places, traces = blame(store, make_slo(), FRA, T0, T0 + 60)
    assert [(p.component, p.requests, p.paths) for p in places] == [("gw", 4.0, 1), ("envoy-fra", 1.0, 1)]
    assert traces == [moved["trace_id"].hex()]


def test_nothing_bad_blames_nobody(store: Store) -> None:
    assert blame(store, make_slo(), FRA, T0 - 10, T0 + 10) == ([], [])


def test_a_group_is_a_value_and_never_sql(store: Store) -> None:
    """A PoP's name comes from outside: it travels as a parameter."""
    evil = "x' OR 1=1 --"
    append_paths(store, [path_row(outcome="edge_error", pop=evil), path_row(outcome="edge_error")])
    places, _ = blame(store, make_slo(), FRA._replace(value=evil), T0 - 10, T0 + 10)
    assert sum(p.paths for p in places) == 1
    with pytest.raises(StoreError):
        store.query("SELECT no_such_column FROM request_paths")
