"""How a request ended and who is to blame, decided from status, error type, flags and reach."""

from typing import Any

import pytest

from telemetry.domain.outcome import Verdict
from telemetry.vocabulary import DEFAULT_TIERS, Outcome
from tests.support.trace_builder import Trace, healthy

Fields = dict[str, Any]


def way(hops: dict[str, Fields]) -> Trace:
    """A chain of the named tiers, each with an outbound span that says what the hop says; ``hops`` gives their fields."""
    trace = Trace()
    above = None
    for place, (tier, fields) in enumerate(hops.items()):
        here = trace.server(tier, place * 10, 1000 - place * 10, above, **fields)
        above = trace.client(tier, place * 10 + 1, 999 - place * 10, here, status=fields.get("status", 0))
    trace.spans.pop()
    return trace


def judged(hops: dict[str, Fields]) -> Verdict:
    """The verdict on such a chain."""
    return way(hops).path().verdict


def everywhere(**fields: Any) -> dict[str, Fields]:
    """All five tiers say the same."""
    return dict.fromkeys(DEFAULT_TIERS, fields)


def test_an_api_error_passed_on_by_four_proxies_is_one_error() -> None:
    """Blamed on the API, where it arose."""
    assert judged(everywhere(status=500)) == Verdict(Outcome.API_ERROR, "api", "api", "", "500")


def test_the_blamed_hop_is_the_one_nearest_the_api_that_failed_while_none_below_did() -> None:
    """The balancer's upstream connection failed; the edge and the client only say what they were told."""
    hops: dict[str, Fields] = {
        "client": {"status": 503},
        "edge": {"status": 503, "pop": "fra"},
        "balancer": {"status": 503, "flags": "UF", "pop": "fra-a"},
    }
    assert judged(hops) == Verdict(Outcome.EDGE_ERROR, "balancer", "balancer", "fra-a", "UF")


def test_a_hop_that_spoils_a_good_answer_is_blamed_itself() -> None:
    hops: dict[str, Fields] = everywhere(status=200) | {"client": {"status": 502}, "edge": {"status": 502}}
    assert judged(hops) == Verdict(Outcome.EDGE_ERROR, "edge", "edge", "", "502")


def test_an_error_that_was_mended_on_the_way_is_no_error() -> None:
    """The first hop that has a status says how the request ended for the client."""
    assert judged(everywhere(status=200) | {"api": {"status": 500}}) == Verdict(Outcome.OK)


def test_a_client_without_a_status_is_judged_by_the_next_hop() -> None:
    assert judged(everywhere(status=500) | {"client": {}}).outcome is Outcome.API_ERROR
    assert judged(everywhere(status=200) | {"client": {}}).outcome is Outcome.OK


def test_nothing_is_known_of_a_way_without_status_or_error() -> None:
    """No failure was seen: not to be counted as one."""
    assert judged(everywhere()) == Verdict(Outcome.OK)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"status": 200}, Outcome.OK),
        ({"status": 302}, Outcome.OK),
        ({"status": 404}, Outcome.CLIENT_ERROR),
        ({"status": 401}, Outcome.CLIENT_ERROR),
        ({"status": 403}, Outcome.CLIENT_ERROR),
        ({"status": 429}, Outcome.THROTTLED),
        ({"status": 499}, Outcome.CANCELLED),
        ({"status": 500}, Outcome.API_ERROR),
        ({"status": 503}, Outcome.API_ERROR),
        ({"status": 504}, Outcome.TIMEOUT),
        ({"error": "TimeoutError"}, Outcome.TIMEOUT),
        ({"error": "DEADLINE_EXCEEDED"}, Outcome.TIMEOUT),
        ({"error": "ConnectionTimedOut"}, Outcome.TIMEOUT),
        ({"error": "cancelled"}, Outcome.CANCELLED),
        ({"error": "asyncio.CancelledError"}, Outcome.CANCELLED),
        ({"error": "ClientDisconnect"}, Outcome.CANCELLED),
        ({"error": "ValueError"}, Outcome.API_ERROR),
        ({"status": 200, "flags": "DC"}, Outcome.OK),  # the answer was complete
    ],
)
def test_what_all_five_tiers_say(fields: Fields, outcome: Outcome) -> None:
    """The request reached the API, and everyone says the same."""
    assert judged(everywhere(**fields)).outcome is outcome


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({"status": 503, "flags": "UF"}, Outcome.EDGE_ERROR, "UF"),
        ({"status": 404, "flags": "NR"}, Outcome.CLIENT_ERROR, "NR"),
        ({"status": 504, "flags": "UT"}, Outcome.TIMEOUT, "UT"),
        ({"status": 408, "flags": "SI"}, Outcome.TIMEOUT, "SI"),
        ({"flags": "DC"}, Outcome.CANCELLED, "DC"),
        ({"status": 503, "flags": "UF,DC"}, Outcome.CANCELLED, "UF,DC"),
        ({"status": 429, "flags": "RL"}, Outcome.THROTTLED, "RL"),
        ({"status": 503, "flags": "OM"}, Outcome.THROTTLED, "OM"),
        ({"status": 403, "flags": "UAEX"}, Outcome.BLOCKED, "UAEX"),
        ({"status": 403}, Outcome.BLOCKED, "403"),
        ({"status": 401}, Outcome.BLOCKED, "401"),
        ({"status": 400}, Outcome.CLIENT_ERROR, "400"),
        ({"error": "ConnectError"}, Outcome.EDGE_ERROR, "ConnectError"),
        ({"status": 500, "error": "ConnectError"}, Outcome.EDGE_ERROR, "ConnectError"),
    ],
)
def test_what_the_edge_says_when_nothing_reached_the_api(fields: Fields, outcome: Outcome, reason: str) -> None:
    """The edge ended it, and is blamed."""
    assert judged({"edge": {**fields, "pop": "fra"}}) == Verdict(outcome, "edge", "edge", "fra", reason)


@pytest.mark.parametrize(
    ("status", "flags", "outcome"),
    [
        (503, "UF", Outcome.EDGE_ERROR),
        (504, "UT", Outcome.TIMEOUT),
        (503, "UT", Outcome.TIMEOUT),
        (429, "RL", Outcome.THROTTLED),
        (403, "UAEX", Outcome.BLOCKED),
        (503, "UAEX", Outcome.BLOCKED),  # the authorization service did not answer
        (403, "", Outcome.BLOCKED),
        (404, "NR", Outcome.CLIENT_ERROR),
        (503, "OM", Outcome.THROTTLED),
        (408, "SI", Outcome.TIMEOUT),
    ],
)
def test_an_instrumented_client_knows_the_status_only(status: int, flags: str, outcome: Outcome) -> None:
    """What the edge says of itself is used too, and the edge is blamed."""
    verdict = judged({"client": {"status": status}, "edge": {"status": status, "flags": flags, "pop": "fra"}})
    assert verdict == Verdict(outcome, "edge", "edge", "fra", flags or str(status))


def test_reach_decides_what_a_403_means() -> None:
    """From the API it is the client's mistake; from the edge, before the API saw anything, it is a block."""
    assert judged(everywhere(status=403)).outcome is Outcome.CLIENT_ERROR
    assert judged({"client": {"status": 403}, "edge": {"status": 403}}).outcome is Outcome.BLOCKED


def test_a_timeout_anywhere_on_the_way_is_a_timeout() -> None:
    """The client saw a 502 that the gateway made of its own timeout: the gateway is blamed."""
    hops: dict[str, Fields] = everywhere(status=502) | {"gateway": {"status": 502, "error": "ReadTimeout"}, "api": {}}
    assert judged(hops) == Verdict(Outcome.TIMEOUT, "gateway", "gateway", "", "ReadTimeout")


def test_a_cancelled_request_is_blamed_on_where_the_client_left() -> None:
    """The API may fail because of it; that is nobody's fault."""
    hops: dict[str, Fields] = everywhere(status=499) | {"api": {"error": "BrokenPipe"}}
    assert judged(hops) == Verdict(Outcome.CANCELLED, "client", "client", "", "499")


def test_span_status_of_a_4xx_is_not_an_edge_error() -> None:
    """Envoy marks every 4xx as a span error; the status counts."""
    path = healthy(status=404).path()
    assert path.verdict.outcome is Outcome.OK  # the gateway and all above said 200
    assert judged(everywhere(status=404, error="404")).outcome is Outcome.CLIENT_ERROR
