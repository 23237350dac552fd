"""What importing costs: CPU milliseconds of fresh interpreters, beyond their start."""

import subprocess
import sys
from pathlib import Path

from tests.bench.measure import Series

_TIMES = 4
_CODE = "import time; at = time.process_time(); {}; print((time.process_time() - at) * 1000)"
_WHAT = {
    "sdk.import_ms": "import telemetry; [getattr(telemetry, name) for name in telemetry.__all__]",
    "sdk.import.with_configure_ms": "import telemetry; telemetry.ASGIMiddleware; import telemetry.sdk.providers",
    "sdk.import.otel_sdk_trace_ms": "import opentelemetry.sdk.trace",
    "sdk.import.otel_sdk_and_metrics_ms": "import opentelemetry.sdk.trace.export, opentelemetry.sdk.metrics.export",
}


def run(folder: Path) -> dict[str, Series]:  # noqa: ARG001 - it needs no workload
    """The least of a few imports each, taken in turns: the first one also fills the page cache."""
    seen: dict[str, list[float]] = {name: [] for name in _WHAT}
    for _ in range(_TIMES):
        for name, what in _WHAT.items():
            done = subprocess.run(
                [sys.executable, "-c", _CODE.format(what)], capture_output=True, text=True, timeout=60, check=True
            )
            seen[name].append(float(done.stdout))
    found = {name: Series("CPU ms", (min(values),)) for name, values in seen.items()}
    more = found["sdk.import.with_configure_ms"].values[0] - found["sdk.import.otel_sdk_and_metrics_ms"].values[0]
    return {**found, "sdk.import.more_than_otel_sdk_ms": Series("CPU ms", (more,))}
