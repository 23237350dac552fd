"""What a request path is, told by small traces: one rule of ``telemetry.domain.paths`` a test."""

from telemetry.domain.paths import MAX_HOPS
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import Outcome, SpanKind
from tests.support.trace_builder import T0, Trace, healthy, identity, table

OUTSIDE = 999
"""The id of a span that never arrived."""


def test_a_healthy_request_through_all_tiers() -> None:
    """Every hop's duration is its self time, the network below it and the next hop."""
    path = healthy().path()
    assert table(path) == [
        ("client", 0, 0, 20, 1),
        ("edge", 10, 0, 4, 1),
        ("balancer", 4, 0, 4, 1),
        ("gateway", 13, 0, 10, 1),
        ("api", 35, 0, 0, 0),
    ]
    assert [h.offset_ns for h in path.hops] == [0, 10, 17, 20, 30]
    assert (path.total_ns, path.edge_ns, path.api_ns, path.network_ns, path.retry_ns) == (100, 65, 35, 38, 0)
    assert (path.complete, path.reached_api, path.attempts, path.retries, path.spans) == (True, True, 4, 0, 8)
    assert (path.start_ns, path.status, path.verdict.outcome) == (T0, 200, Outcome.OK)
    assert (path.pop, path.region, path.route, path.method) == ("fra", "eu", "/v1/charges", "POST")
    assert identity(path) == 0


def test_the_tenant_is_what_the_hop_nearest_the_api_says() -> None:
    """It has authenticated the request; a header that the edge believed may claim another. Attempts do not speak of it."""
    trace = Trace()
    edge = trace.server("edge", 0, 100, tenant="claimed")
    call = trace.client("edge", 10, 90, edge, tenant="never")
    gateway = trace.server("gateway", 20, 80, call, tenant="acct_1")
    trace.server("api", 30, 70, trace.client("gateway", 25, 75, gateway), route="/v1/charges")
    assert (trace.path().tenant, trace.path().route) == ("acct_1", "/v1/charges")
    assert healthy(tenant="").path().tenant == ""


class TestAttempts:
    """Several outbound spans of one hop."""

    def test_a_retry_is_time_of_its_own(self) -> None:
        """Two attempts fail to connect, the third answers: its time is the way on, theirs is retry time."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        trace.client("edge", 10, 20, edge, flags="UF")
        trace.client("edge", 25, 40, edge, status=503)
        third = trace.client("edge", 45, 95, edge, status=200)
        trace.server("api", 50, 90, third, status=200)
        path = trace.path()
        assert table(path) == [("edge", 25, 25, 10, 3), ("api", 40, 0, 0, 0)]
        assert (path.attempts, path.retries, path.retry_ns) == (3, 2, 25)
        assert path.verdict.outcome is Outcome.OK

    def test_of_two_hedges_the_first_to_end_answered(self) -> None:
        """Both reached an API; only what does not overlap the answer is retry time."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        slow = trace.client("edge", 10, 80, edge, status=200)
        fast = trace.client("edge", 40, 60, edge, status=200)
        trace.server("api", 15, 75, slow, component="api-slow", status=200)
        trace.server("api", 45, 55, fast, component="api-fast", status=200)
        path = trace.path()
        assert [h.component for h in path.hops] == ["edge", "api-fast"]
        assert table(path)[0] == ("edge", 30, 50, 10, 2)
        assert (path.attempts, path.retries) == (2, 1)

    def test_of_two_failures_the_last_answered(self) -> None:
        """A hop that failed passed the last failure on."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=503)
        first = trace.client("edge", 10, 20, edge, status=500)
        last = trace.client("edge", 30, 60, edge, status=503)
        trace.server("api", 12, 18, first, component="api-1", status=500)
        trace.server("api", 40, 50, last, component="api-2", status=503)
        path = trace.path()
        assert [h.component for h in path.hops] == ["edge", "api-2"]
        assert (path.verdict.outcome, path.verdict.blamed_component) == (Outcome.API_ERROR, "api-2")

    def test_a_failed_hop_with_good_attempts_follows_the_one_that_leads_on(self) -> None:
        """The API answered well and the hop spoilt it: the way still goes to the API."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=500)
        good = trace.client("edge", 10, 50, edge, status=200)
        trace.client("edge", 60, 70, edge, status=200)
        trace.server("api", 20, 40, good, status=200)
        path = trace.path()
        assert [h.tier for h in path.hops] == ["edge", "api"]
        assert (path.verdict.outcome, path.verdict.blamed_tier) == (Outcome.EDGE_ERROR, "edge")

    def test_a_retry_that_overlaps_the_answer_is_counted_where_it_does_not(self) -> None:
        """Attempts are clipped to their hop: one that outlives it cannot add time that the hop does not have."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        trace.client("edge", -50, 30, edge, flags="UF")
        answer = trace.client("edge", 20, 150, edge, status=200)
        trace.server("api", 40, 60, answer, status=200)
        path = trace.path()
        assert table(path)[0] == ("edge", 0, 20, 60, 2)
        assert identity(path) == 0

    def test_client_spans_below_an_attempt_are_looked_through(self) -> None:
        """An HTTP library's span, and its connection's below it, are one attempt."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        request = trace.client("gateway", 10, 90, gateway, status=200)
        connection = trace.client("gateway", 20, 80, request)
        trace.server("api", 30, 70, connection, status=200)
        assert table(trace.path()) == [("gateway", 20, 0, 40, 1), ("api", 40, 0, 0, 0)]

    def test_internal_spans_are_looked_through(self) -> None:
        """Middleware between the inbound span and the outbound one changes nothing."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        middleware = trace.add(SpanKind.INTERNAL, "gateway", 5, 95, gateway)
        request = trace.client("gateway", 10, 90, middleware, status=200)
        handler = trace.add(SpanKind.INTERNAL, "gateway", 11, 89, request)
        trace.server("api", 30, 70, handler, status=200)
        assert table(trace.path()) == [("gateway", 20, 0, 40, 1), ("api", 40, 0, 0, 0)]


class TestCallsBesideTheWay:
    """What a hop does besides passing the request on is its self time."""

    def test_a_database_is_no_attempt(self) -> None:
        """Not even one that fails, or that ends last."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        trace.client("gateway", 5, 15, gateway, side_call=True, error="timeout")
        answer = trace.client("gateway", 20, 80, gateway, status=200)
        trace.server("api", 30, 70, answer, status=200)
        trace.client("gateway", 85, 95, gateway, side_call=True)
        path = trace.path()
        assert table(path)[0] == ("gateway", 40, 0, 20, 1)
        assert path.verdict.outcome is Outcome.OK

    def test_a_call_to_a_component_without_a_tier_is_no_attempt(self) -> None:
        """An authorization service that the gateway asks first."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        asks = trace.client("gateway", 5, 15, gateway, status=200)
        trace.server("unknown", 7, 13, asks, component="authz", status=200)
        answer = trace.client("gateway", 20, 80, gateway, status=200)
        trace.server("api", 30, 70, answer, status=200)
        assert [h.tier for h in trace.path().hops] == ["gateway", "api"]
        assert table(trace.path())[0] == ("gateway", 40, 0, 20, 1)

    def test_a_call_back_towards_the_client_is_no_attempt(self) -> None:
        """A gateway that fetches a configuration through the edge."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        back = trace.client("gateway", 5, 15, gateway, status=200)
        trace.server("edge", 7, 13, back, status=200)
        answer = trace.client("gateway", 20, 80, gateway, status=200)
        trace.server("api", 30, 70, answer, status=200)
        assert [h.tier for h in trace.path().hops] == ["gateway", "api"]

    def test_a_detour_that_reaches_further_down_is_on_the_way(self) -> None:
        """A component without a tier that itself calls the API stands on the way to it."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        call = trace.client("gateway", 10, 90, gateway, status=200)
        sidecar = trace.server("unknown", 20, 80, call, component="sidecar", status=200)
        onward = trace.client("unknown", 30, 70, sidecar, component="sidecar", status=200)
        trace.server("api", 40, 60, onward, status=200)
        path = trace.path()
        assert [h.component for h in path.hops] == ["gateway", "sidecar", "api"]
        assert path.reached_api


class TestWhatIsMissing:
    """A way with an uninstrumented client or middle, or with lost spans, is still a path, and says so."""

    def test_an_uninstrumented_client(self) -> None:
        """The edge's span is the root: the path begins there."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        call = trace.client("edge", 10, 90, edge, status=200)
        trace.server("api", 20, 80, call, status=200)
        assert trace.path().gaps == ("client",)
        assert not trace.path().complete

    def test_a_client_whose_span_was_lost(self) -> None:
        """The edge's parent never arrived."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, OUTSIDE, status=200)
        call = trace.client("edge", 10, 90, edge, status=200)
        trace.server("api", 20, 80, call, status=200)
        assert trace.path().gaps == ("before:edge",)

    def test_a_lost_middle_is_stitched(self) -> None:
        """The balancer's spans were lost: the gateway's piece is joined to the edge's, and the gap is named."""
        trace = Trace()
        client = trace.client("client", 0, 100, status=200)
        edge = trace.server("edge", 10, 90, client, status=200)
        trace.client("edge", 20, 80, edge, status=200)
        gateway = trace.server("gateway", 30, 70, OUTSIDE, status=200)
        call = trace.client("gateway", 35, 65, gateway, status=200)
        trace.server("api", 40, 60, call, status=200)
        path = trace.path()
        assert [h.tier for h in path.hops] == ["client", "edge", "gateway", "api"]
        assert path.gaps == ("before:gateway",)
        assert table(path)[1] == ("edge", 20, 0, 20, 1)
        assert identity(path) == 0

    def test_a_lost_outbound_span(self) -> None:
        """The next hop's piece stands for the attempt that led to it."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        trace.server("api", 30, 70, OUTSIDE, status=200)
        path = trace.path()
        assert edge.span_id == path.hops[0].span_id
        assert table(path) == [("edge", 60, 0, 0, 1), ("api", 40, 0, 0, 0)]
        assert path.gaps == ("client", "before:api")

    def test_a_middle_that_passes_the_context_through_is_no_gap(self) -> None:
        """An uninstrumented balancer that leaves the trace context alone: its time is network time of the edge."""
        trace = Trace()
        client = trace.client("client", 0, 100, status=200)
        edge = trace.server("edge", 10, 90, client, status=200)
        call = trace.client("edge", 20, 80, edge, status=200)
        trace.server("api", 40, 60, call, status=200)
        path = trace.path()
        assert path.complete
        assert table(path)[1] == ("edge", 20, 0, 40, 1)

    def test_a_proxy_without_outbound_spans(self) -> None:
        """Its next hop stands for its own attempt: no network time is known."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        trace.server("api", 30, 70, edge, status=200)
        path = trace.path()
        assert table(path) == [("edge", 60, 0, 0, 1), ("api", 40, 0, 0, 0)]
        assert path.gaps == ("client",)

    def test_an_answer_from_below_that_nobody_saw(self) -> None:
        """The edge got a status from something that sent no span: the way goes on, unseen."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, OUTSIDE, status=200)
        trace.client("edge", 10, 90, edge, status=200)
        assert trace.path().gaps == ("before:edge", "after:edge")

    def test_a_connection_that_failed_explains_the_end_of_the_way(self) -> None:
        """Nothing is missing below an edge that could not connect."""
        trace = Trace()
        client = trace.client("client", 0, 100, status=503)
        edge = trace.server("edge", 10, 90, client, status=503, flags="UF")
        trace.client("edge", 20, 80, edge, status=503, flags="UF")
        path = trace.path()
        assert path.complete
        assert not path.reached_api
        assert (path.verdict.outcome, path.verdict.blamed_tier, path.verdict.reason) == (
            Outcome.EDGE_ERROR,
            "edge",
            "UF",
        )
        assert path.edge_ns == path.total_ns

    def test_an_api_span_alone(self) -> None:
        """All that arrived is the API's: a path of one hop, all of it the API's own time."""
        trace = Trace()
        trace.server("api", 0, 50, OUTSIDE, status=200)
        path = trace.path()
        assert table(path) == [("api", 50, 0, 0, 0)]
        assert (path.gaps, path.edge_ns, path.api_ns) == (("before:api",), 0, 50)


class TestOddComponents:
    """Components that are instrumented oddly."""

    def test_a_service_instrumented_twice_is_one_hop(self) -> None:
        """The inner SERVER span repeats the outer one."""
        trace = Trace()
        gateway = trace.server("gateway", 0, 100, status=200)
        again = trace.server("gateway", 5, 95, gateway, status=200)
        call = trace.client("gateway", 20, 80, again, status=200)
        trace.server("api", 30, 70, call, status=200)
        assert table(trace.path()) == [("gateway", 40, 0, 20, 1), ("api", 40, 0, 0, 0)]

    def test_the_same_component_in_another_pop_is_another_hop(self) -> None:
        """An edge that hands on to the edge of the next PoP."""
        trace = Trace()
        fra = trace.server("edge", 0, 100, status=200, pop="fra")
        iad = trace.server("edge", 10, 90, fra, status=200, pop="iad")
        call = trace.client("edge", 20, 80, iad, status=200, pop="iad")
        trace.server("api", 30, 70, call, status=200)
        path = trace.path()
        assert [(h.tier, h.pop) for h in path.hops] == [("edge", "fra"), ("edge", "iad"), ("api", "")]
        assert path.pop == "fra"

    def test_what_the_api_does_below_is_not_edgepaths_business(self) -> None:
        """Its whole duration is its own; spans below it make no hops."""
        trace = healthy()
        api = trace.spans[-1]
        call = trace.client("api", 32, 60, api, status=500)
        trace.server("api", 35, 55, call, component="ledger", status=500)
        path = trace.path()
        assert table(path) == table(healthy().path())
        assert path.verdict.outcome is Outcome.OK
        assert path.spans == 10

    def test_an_unknown_tier_is_a_hop_without_a_rank(self) -> None:
        """On the way it is kept; it does not end the way and is not what the way begins with."""
        trace = Trace()
        odd = trace.server("unknown", 0, 100, status=200, component="cdn")
        call = trace.client("unknown", 10, 90, odd, status=200)
        trace.server("api", 20, 80, call, status=200)
        path = trace.path()
        assert [(h.tier, h.component) for h in path.hops] == [("unknown", "cdn"), ("api", "api")]
        assert path.gaps == ("client",)

    def test_tiers_are_configuration(self) -> None:
        """Other names, another last tier: the path stops there."""
        trace = Trace()
        cdn = trace.server("cdn", 0, 100, status=200)
        call = trace.client("cdn", 10, 90, cdn, status=200)
        app = trace.server("app", 20, 80, call, status=200)
        below = trace.client("app", 30, 70, app, status=200)
        trace.server("api", 40, 60, below, status=200)
        path = trace.path(Tiers(order=("cdn", "app"), edge="cdn"))
        assert [h.tier for h in path.hops] == ["cdn", "app"]
        assert path.reached_api
        assert path.complete


class TestClocks:
    """Durations are trusted, clocks are not."""

    def test_a_skewed_clock_is_corrected_for_drawing_only(self) -> None:
        """A child that does not fit in its parent is centred in it; durations and times stay as they are."""
        straight, skewed = healthy(), healthy()
        skewed.spans = [
            s if s.tier != "api" else type(s)(**{f: getattr(s, f) for f in s.__slots__} | {"start_ns": T0 + 10**9})
            for s in skewed.spans
        ]
        assert table(skewed.path()) == table(straight.path())
        assert skewed.path().hops[-1].offset_ns == 25 + (45 - 35) // 2

    def test_a_next_hop_longer_than_the_attempt_is_unattributed(self) -> None:
        """A negative network time counts as zero and is kept, signed."""
        trace = Trace()
        edge = trace.server("edge", 0, 100, status=200)
        call = trace.client("edge", 20, 60, edge, status=200)
        trace.server("api", 10, 65, call, status=200)
        path = trace.path()
        assert table(path) == [("edge", 60, 0, 0, 1), ("api", 55, 0, 0, 0)]
        assert (path.unattributed_ns, path.hops[0].unattributed_ns) == (-15, -15)
        assert identity(path) == 0
        assert path.edge_ns == 45

    def test_an_api_longer_than_the_whole_path_adds_no_negative_edge_time(self) -> None:
        trace = Trace()
        edge = trace.server("edge", 0, 10, status=200)
        call = trace.client("edge", 2, 8, edge, status=200)
        trace.server("api", 0, 50, call, status=200)
        path = trace.path()
        assert (path.edge_ns, path.unattributed_ns) == (0, -44)
        assert identity(path) == 0


class TestHostile:
    """What no honest sender makes."""

    def test_a_ring_of_parents_ends(self) -> None:
        """Its members are taken for unconnected."""
        trace = Trace()
        trace.server("edge", 0, 100, 2, status=200)
        trace.client("edge", 10, 90, 3, status=200)
        trace.server("api", 20, 80, 1, status=200)
        path = trace.path()
        assert [h.tier for h in path.hops] == ["edge", "api"]
        assert path.gaps == ("before:edge", "before:api")
        assert identity(path) == 0

    def test_a_span_that_is_its_own_parent_is_a_top(self) -> None:
        trace = Trace()
        trace.server("edge", 0, 100, 1, status=200)
        assert trace.path().gaps == ("before:edge",)

    def test_of_two_spans_with_one_id_the_longest_is_believed(self) -> None:
        """Whatever comes first."""
        trace = Trace()
        trace.server("edge", 0, 50, status=200)
        trace.server("edge", 0, 100, status=503, span_id=1)
        assert trace.path().total_ns == 100
        trace.spans.reverse()
        assert trace.path().total_ns == 100
        assert trace.path().spans == 1

    def test_ten_thousand_spans(self) -> None:
        """A path of five hops among them."""
        trace = healthy()
        gateway = next(s for s in trace.spans if s.tier == "gateway")
        for number in range(9_992):
            trace.add(SpanKind.INTERNAL, "gateway", 21, 22, gateway if number % 2 else trace.spans[-1])
        path = trace.path()
        assert len(trace.spans) == path.spans == 10_000
        assert table(path) == table(healthy().path())

    def test_a_way_without_end_is_cut(self) -> None:
        """More hops than any real way has."""
        trace = Trace()
        above = trace.server("edge", 0, 1000, component="edge-0", status=200)
        for number in range(1, 100):
            above = trace.server("edge", number, 1000 - number, above, component=f"edge-{number}", status=200)
        path = trace.path()
        assert len(path.hops) == MAX_HOPS
        assert path.gaps == ("client", "too_long")
        assert identity(path) == 0
