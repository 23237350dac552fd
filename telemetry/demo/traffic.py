"""What the demo's clients ask for and how its API behaves: shares, latencies and faults in one place, all seeded.

The figures are made up to look like a small payments API. Nothing here is a card number: clients pay with tokens.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

KNOWN_CUSTOMERS: Final = 200
"""Customers ``cus_0`` to ``cus_199`` exist."""
TIGHT_KEY: Final = "key_tight"
"""The API key whose client asks more often than its limit allows."""
REVOKED_KEY: Final = "key_revoked"
DECLINED_TOKEN: Final = "tok_declined"  # noqa: S105 - a made-up payment token, not a secret

TIGHT_SHARE: Final = 0.03
TIGHT_ALLOWED: Final = 0.015
"""The gateway lets this share of all requests through for :data:`TIGHT_KEY`."""
_NO_KEY_SHARE: Final = 0.004
_REVOKED_SHARE: Final = 0.004
_DECLINED_SHARE: Final = 0.04
_INVALID_SHARE: Final = 0.015
_UNKNOWN_SHARE: Final = 0.03
_BUSY_SHARE: Final = 0.012
_BROKEN_SHARE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route of the API.

    Attributes:
        method: HTTP method.
        template: path template, as in ``http.route``.
        share: its share of the requests; all shares add up to 1.
        median_seconds: median of its latency, which is log-normal.
        sigma: standard deviation of the latency's logarithm.
    """

    method: str
    template: str
    share: float
    median_seconds: float
    sigma: float


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/v1/charges", 0.30, 0.045, 0.45),
    Endpoint("GET", "/v1/charges/{id}", 0.24, 0.009, 0.35),
    Endpoint("GET", "/v1/customers/{id}", 0.18, 0.007, 0.35),
    Endpoint("POST", "/v1/customers", 0.05, 0.018, 0.40),
    Endpoint("POST", "/v1/refunds", 0.06, 0.032, 0.45),
    Endpoint("GET", "/v1/balance", 0.12, 0.006, 0.30),
    Endpoint("GET", "/v1/payouts", 0.05, 0.025, 0.60),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a client sends it."""

    endpoint: Endpoint
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def draw_request(random: Random) -> Request:
    """A request of the mix."""
    endpoint = random.choices(ENDPOINTS, [one.share for one in ENDPOINTS])[0]
    return Request(endpoint, _path(endpoint, random), _headers(endpoint, random), _body(endpoint, random))


def latency_seconds(endpoint: Endpoint, random: Random) -> float:
    """How long the API works on a request: log-normal, cut at twenty times the median."""
    drawn = random.lognormvariate(math.log(endpoint.median_seconds), endpoint.sigma)
    return min(drawn, 20 * endpoint.median_seconds)


def draw_fault(random: Random) -> int | None:
    """The status of a fault of the API's own: 503 (worth a retry), 500 (not), None for none."""
    drawn = random.random()
    if drawn < _BUSY_SHARE:
        return 503
    return 500 if drawn < _BUSY_SHARE + _BROKEN_SHARE else None


def verdict(endpoint: Endpoint, identifier: str, body: bytes) -> int:
    """The status that a sound API gives: 200, 201, 402 (declined), 404 (unknown), 422 (invalid)."""
    if endpoint.method == "GET":
        return 404 if identifier.startswith("unknown") else 200
    try:
        sent = json.loads(body)
    except ValueError:
        return 422
    if not isinstance(sent, dict) or "amount" not in sent:
        return 422
    return 402 if sent.get("source") == DECLINED_TOKEN else 201


def _path(endpoint: Endpoint, random: Random) -> str:
    known = random.random() >= _UNKNOWN_SHARE
    kind = "cus" if "customers" in endpoint.template else "ch"
    number = random.randrange(KNOWN_CUSTOMERS)
    return endpoint.template.replace("{id}", f"{kind}_{number}" if known else f"unknown_{number}")


def _headers(endpoint: Endpoint, random: Random) -> dict[str, str]:
    headers = {"content-type": "application/json"} if endpoint.method == "POST" else {}
    drawn = random.random()
    if drawn < _NO_KEY_SHARE:
        return headers
    if drawn < _NO_KEY_SHARE + _REVOKED_SHARE:
        key = REVOKED_KEY
    elif drawn < _NO_KEY_SHARE + _REVOKED_SHARE + TIGHT_SHARE:
        key = TIGHT_KEY
    else:
        key = f"key_{random.randrange(20)}"
    return {**headers, "authorization": f"Bearer {key}"}


def _body(endpoint: Endpoint, random: Random) -> bytes:
    if endpoint.method == "GET":
        return b""
    if random.random() < _INVALID_SHARE:
        return b"{}"
    declined = endpoint.template == "/v1/charges" and random.random() < _DECLINED_SHARE
    source = DECLINED_TOKEN if declined else "tok_demo"
    return json.dumps({"amount": random.randrange(100, 50_000), "currency": "eur", "source": source}).encode()
