"""What services import: OpenTelemetry, the standard library and ``telemetry.vocabulary``, nothing else of ours.

The public names are those of ``telemetry`` itself; :mod:`telemetry.sdk.testing` is for a service's own tests.
"""
