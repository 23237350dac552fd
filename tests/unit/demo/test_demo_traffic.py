"""The mix of requests, the API's behaviour, the gateway and the ledger."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from telemetry.demo import api, traffic
from telemetry.demo.gateway import Gateway, TokenBucket
from telemetry.demo.ledger import LedgerWriter, Sent, read_ledger
from telemetry.demo.load import schedule

CHARGE, GET_CHARGE = traffic.ENDPOINTS[0], traffic.ENDPOINTS[1]


def test_shares_add_up() -> None:
    """They are shares of all requests."""
    assert sum(one.share for one in traffic.ENDPOINTS) == pytest.approx(1)


def test_the_mix_is_as_described_and_repeats_with_its_seed() -> None:
    """Within 2 % of each share, and the same again."""
    drawn = [traffic.draw_request(one) for one in [Random(7)] for _ in range(5_000)]
    counts = Counter(request.endpoint for request in drawn)
    for endpoint in traffic.ENDPOINTS:
        assert counts[endpoint] / len(drawn) == pytest.approx(endpoint.share, abs=0.02)
    again = Random(7)
    assert [traffic.draw_request(again) for _ in range(100)] == drawn[:100]


def test_no_request_has_a_placeholder_left() -> None:
    """Templates are filled in."""
    random = Random(1)
    assert not any("{" in traffic.draw_request(random).path for _ in range(500))


def test_latencies_have_the_median_they_name_and_an_end() -> None:
    """Log-normal, cut."""
    random = Random(1)
    drawn = [traffic.latency_seconds(CHARGE, random) for _ in range(5_000)]
    assert statistics.median(drawn) == pytest.approx(CHARGE.median_seconds, rel=0.05)
    assert max(drawn) <= 20 * CHARGE.median_seconds


@pytest.mark.parametrize(
    ("endpoint", "identifier", "body", "status"),
    [
        (CHARGE, "", b'{"amount": 5, "source": "tok_demo"}', 201),
        (CHARGE, "", b'{"amount": 5, "source": "tok_declined"}', 402),
        (CHARGE, "", b"{}", 422),
        (CHARGE, "", b"[1]", 422),
        (CHARGE, "", b"\xff", 422),
        (GET_CHARGE, "ch_1", b"", 200),
        (GET_CHARGE, "unknown_1", b"", 404),
    ],
)
def test_verdicts(endpoint: traffic.Endpoint, identifier: str, body: bytes, status: int) -> None:
    """What a sound API answers."""
    assert traffic.verdict(endpoint, identifier, body) == status


def test_faults_are_rare_and_mostly_worth_a_retry() -> None:
    """About 1.2 % busy, 0.1 % broken."""
    random = Random(3)
    faults = Counter(traffic.draw_fault(random) for _ in range(20_000))
    assert faults[503] / 20_000 == pytest.approx(0.012, abs=0.004)
    assert 0 < faults[500] / 20_000 < 0.003


def call(app: Starlette, method: str, path: str, **arguments: Any) -> httpx.Response:
    """Ask an application one thing."""

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(once())


class Lucky(Random):
    """Draws no faults."""

    def random(self) -> float:
        """Never below any share."""
        return 0.999

    def lognormvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """At once. (The drawing of the standard library would not end with the constant above.)"""
        return 0.0 * mu * sigma


def test_the_api_answers_its_routes() -> None:
    """A charge, an unknown customer, and a path that it does not have."""
    app = api.application(Lucky())
    assert call(app, "POST", "/v1/charges", json={"amount": 5}).status_code == 201
    assert call(app, "GET", "/v1/customers/unknown_1").status_code == 404
    assert call(app, "GET", "/v1/customers/cus_1").json() == {"object": "/v1/customers/{id}", "status": 200}
    assert call(app, "GET", "/elsewhere").status_code == 404


def ask(answer: Callable[[httpx.Request], httpx.Response], headers: Mapping[str, str]) -> tuple[int, list[str]]:
    """Send one request through a gateway before an API that answers so; its status, and what the API was asked for."""
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return answer(request)

    upstream = httpx.AsyncClient(base_url="http://api", transport=httpx.MockTransport(handle))
    gateway = Gateway(upstream, TokenBucket(0, burst=1, monotonic=lambda: 0.0))
    app = Starlette(routes=[Route("/v1/balance", gateway.handle)])
    return call(app, "GET", "/v1/balance", headers=dict(headers)).status_code, seen


KEY = {"authorization": "Bearer key_1"}


def test_the_gateway_blocks_without_a_good_key() -> None:
    """401 and 403 never reach the API."""
    assert ask(lambda _: httpx.Response(200), {}) == (401, [])
    assert ask(lambda _: httpx.Response(200), {"authorization": "Bearer key_revoked"}) == (403, [])


def test_the_gateway_retries_a_503_once() -> None:
    """The second answer counts, whatever it is."""
    answers = iter([httpx.Response(503), httpx.Response(200)])
    assert ask(lambda _: next(answers), KEY) == (200, ["/v1/balance"] * 2)
    assert ask(lambda _: httpx.Response(503), KEY) == (503, ["/v1/balance"] * 2)


def test_the_gateway_retries_a_refused_connection_once() -> None:
    """502 when it is refused again; a timeout is not retried."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    assert ask(refuse, KEY) == (502, ["/v1/balance"] * 2)
    assert ask(hang, KEY) == (504, ["/v1/balance"])


def test_other_answers_pass_through_unchanged() -> None:
    """A 500 is not retried."""
    assert ask(lambda _: httpx.Response(500), KEY) == (500, ["/v1/balance"])


def test_the_bucket_lets_its_rate_through() -> None:
    """Two at once, then one a second."""
    now = 0.0
    bucket = TokenBucket(1, burst=2, monotonic=lambda: now)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now = 1.0
    assert [bucket.take() for _ in range(2)] == [True, False]
    now = 100.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_the_schedule_is_steady() -> None:
    """In order, each within 40 % of its slot, so the rate holds exactly."""
    due = list(islice(schedule(40, Random(1)), 4_000))
    assert due == sorted(due)
    assert all(number / 40 <= moment <= (number + 0.4) / 40 for number, moment in enumerate(due))


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Also while it is open."""
    path = tmp_path / "sent.jsonl"
    entries = [Sent("ab" * 16, "fra", 1.5), Sent("cd" * 16, "iad", 2.5)]
    with LedgerWriter(path) as ledger:
        for entry in entries:
            ledger.add(entry)
        assert list(read_ledger(path)) == entries


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    """And no file is an empty ledger."""
    path = tmp_path / "sent.jsonl"
    assert list(read_ledger(path)) == []
    path.write_text('{"trace_id": "ab", "pop": "fra", "sent": 1.0}\n{"trace_id": "cd", "po')
    assert [one.trace_id for one in read_ledger(path)] == ["ab"]
