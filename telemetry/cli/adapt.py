"""``edgepath adapt``: access logs of proxies without a tracer in, OTLP out."""

import click

from telemetry import vocabulary as v
from telemetry.cli.logs import say
from telemetry.cli.settings import Configured, setting
from telemetry.cli.stopping import stopped_by_signals


@click.command(cls=Configured, runs_on=True)
@setting("--listen", default="127.0.0.1:5514", metavar="HOST:PORT", help="Where to take syslog over UDP.")
@setting("--otlp", default="http://127.0.0.1:4318", metavar="URL", help="Where spans go: OTLP/HTTP.")
@setting("--service", metavar="NAME", required=True, help="The proxy's name (service.name).")
@setting("--tier", metavar="NAME", default="balancer", help="Where on the way it stands.")
@setting("--pop", metavar="NAME", default="", help="Point of presence, e.g. fra.")
@setting("--zone", metavar="NAME", default="", help="Availability zone (cloud.availability_zone).")
@setting("--region", metavar="NAME", default="", help="Region (cloud.region).")
@setting(
    "--environment", metavar="NAME", default="", help="Environment, e.g. production (deployment.environment.name)."
)
@setting(
    "--tenant-field",
    metavar="NAME",
    default="tenant",
    help="Field of a line that says on whose behalf the request came (edgepath.tenant), redacted as all text is; lines "
    "without it have no tenant.",
)
def adapt(
    listen: str,
    otlp: str,
    service: str,
    tier: str,
    pop: str,
    zone: str,
    region: str,
    environment: str,
    tenant_field: str,
) -> None:
    """Turn access logs of NGINX and HAProxy into spans.

    The proxy reads and passes on the trace context itself and logs one JSON line a request over syslog: deploy/nginx and
    deploy/haproxy have configurations that do. Card numbers and secrets are taken out. What cannot be sent waits, at most
    20,000 requests; then the newest are dropped and counted.

    \b
    Example:
      edgepath adapt --service nginx-fra-1 --tier edge --pop fra \\
          --otlp http://otelcol.internal:4318
    """
    from telemetry.adapt.adapter import Adapter  # noqa: PLC0415 - other commands start without it
    from telemetry.adapt.lines import OWN  # noqa: PLC0415 - as above

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
    if not otlp.startswith(("http://", "https://")):
        raise click.BadParameter(f"{otlp!r} is not an http:// or https:// URL", param_hint="--otlp")
    if tenant_field in OWN or tenant_field.startswith("try_"):
        raise click.BadParameter(f"the field {tenant_field!r} has another meaning", param_hint="--tenant-field")
    resource = {
        v.SERVICE_NAME: service,
        v.TIER: tier,
        v.POP: pop,
        v.ZONE[0]: zone,
        v.REGION[0]: region,
        v.ENVIRONMENT[0]: environment,
    }
    said = {name: value for name, value in resource.items() if value}
    adapter = Adapter((host.strip("[]"), int(port)), otlp, said, tenant_field)
    with stopped_by_signals() as stopping:
        adapter.start()
        try:
            say(f"taking syslog on {host}:{adapter.port} (UDP); spans to {otlp}; Ctrl-C stops")
            stopping.wait()
        finally:
            adapter.stop()
    counts = adapter.counts
    text = f"took {counts['lines']:,} lines, sent {counts['sent']:,} spans"
    for what in ("dropped", "malformed", "not_sampled"):
        if counts[what]:
            text += f", {counts[what]:,} {what.replace('_', ' ')}"
    say(text, counts=dict(counts))
