"""``edgepath adapt``: access logs of proxies without a tracer in, OTLP out."""

import signal
import threading
from types import FrameType

import click

from telemetry import vocabulary as v


@click.command()
@click.option("--listen", default="127.0.0.1:5514", show_default=True, metavar="HOST:PORT", help="Syslog over UDP.")
@click.option(
    "--otlp", default="http://127.0.0.1:4318", show_default=True, metavar="URL", help="Where spans go: OTLP/HTTP."
)
@click.option("--service", required=True, help="The proxy's name (service.name).")
@click.option("--tier", default="balancer", show_default=True, help="Where on the way it stands.")
@click.option("--pop", default="", help="Point of presence, e.g. fra.")
@click.option("--zone", default="", help="cloud.availability_zone")
@click.option("--region", default="", help="cloud.region")
@click.option("--environment", default="", help="deployment.environment.name, e.g. production.")
def adapt(listen: str, otlp: str, service: str, tier: str, pop: str, zone: str, region: str, environment: str) -> None:
    """Turn access logs of NGINX and HAProxy into spans.

    The proxy reads and passes on the trace context itself and logs one JSON line a request over syslog: deploy/nginx and
    deploy/haproxy have configurations that do. Card numbers and secrets are taken out. What cannot be sent waits, at most
    20,000 requests; then the newest are dropped and counted.

    \b
    Example:
      edgepath adapt --service nginx-fra-1 --tier edge --pop fra --otlp http://otelcol.internal:4318
    """
    from telemetry.adapt.adapter import Adapter  # noqa: PLC0415 - other commands start without it

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
    if not otlp.startswith(("http://", "https://")):
        raise click.BadParameter(f"{otlp!r} is not an http:// or https:// URL", param_hint="--otlp")
    resource = {
        v.SERVICE_NAME: service,
        v.TIER: tier,
        v.POP: pop,
        v.ZONE[0]: zone,
        v.REGION[0]: region,
        v.ENVIRONMENT[0]: environment,
    }
    adapter = Adapter((host.strip("[]"), int(port)), otlp, {name: value for name, value in resource.items() if value})
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
        stopping.set()

    adapter.start()
    click.echo(f"taking syslog on {host}:{adapter.port} (UDP); spans to {otlp}; Ctrl-C stops")
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stopping.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        adapter.stop()
    counts = adapter.counts
    text = f"took {counts['lines']:,} lines, sent {counts['sent']:,} spans"
    for what in ("dropped", "malformed", "not_sampled"):
        if counts[what]:
            text += f", {counts[what]:,} {what.replace('_', ' ')}"
    click.echo(text)
