"""Envoy's configuration and endpoint files as they are generated."""

import json
from pathlib import Path

import pytest

from telemetry.demo.envoy import Address, EnvoySettings, Upstream, configuration, endpoints, find_envoy, write_endpoints
from telemetry.errors import ConfigurationError

SETTINGS = EnvoySettings(
    service="edge-proxy",
    tier="edge",
    pop="fra",
    region="eu-central-1",
    environment="demo",
    listen=Address("127.0.0.1", 8080),
    collector=Address("127.0.0.1", 4317),
    endpoints_file=Path("folder/endpoints.json"),
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4317", Address("127.0.0.1", 4317)),
        ("http://localhost:4317", Address("localhost", 4317)),
        ("http://localhost:4317/", Address("localhost", 4317)),
        ("[::1]:4317", Address("::1", 4317)),
    ],
)
def test_addresses_are_read_with_and_without_a_scheme(text: str, address: Address) -> None:
    """What people write as an OTLP endpoint."""
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["localhost", "localhost:", ":4317", "localhost:http", ""])
def test_what_is_no_address_is_named(text: str) -> None:
    """One line with an example."""
    with pytest.raises(ConfigurationError, match="is not an address: write host:port, for example"):
        Address.parse(text)


def test_weights_of_upstreams_reach_the_endpoint_document() -> None:
    """The incident's share is a weight."""
    document = json.loads(endpoints([Upstream(Address("127.0.0.1", 1), 65), Upstream(Address("127.0.0.1", 2), 35)]))
    listed = document["resources"][0]["endpoints"][0]["lb_endpoints"]
    assert [one["load_balancing_weight"] for one in listed] == [65, 35]


def test_endpoints_are_replaced_in_one_step(tmp_path: Path) -> None:
    """No half-written file, and nothing left beside it."""
    path = tmp_path / "endpoints.json"
    write_endpoints(path, [Upstream(Address("127.0.0.1", 1))])
    before = path.stat().st_ino
    write_endpoints(path, [Upstream(Address("127.0.0.1", 2))])
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_weights_count_because_the_policy_is_round_robin() -> None:
    """Envoy's RANDOM policy does not look at endpoint weights; its round robin does."""
    clusters = json.loads(configuration(SETTINGS))["static_resources"]["clusters"]
    assert clusters[0]["lb_policy"] == "ROUND_ROBIN"


def test_a_failure_stays_visible() -> None:
    """No retries, health checks or outlier detection hide the incident."""
    text = configuration(SETTINGS)
    assert "retry_policy" not in text
    assert "outlier_detection" not in text
    assert "health_checks" not in text


def test_find_envoy_looks_beside_python_and_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's own comes first."""
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "envoy").touch(0o755)
    monkeypatch.setattr("sys.executable", str(own / "python"))
    monkeypatch.setenv("PATH", str(other))
    assert find_envoy() == own / "envoy"
    (own / "envoy").unlink()
    assert find_envoy() == other / "envoy"
