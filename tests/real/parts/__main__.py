"""``python -m tests.real.parts``: have every real part ready before a test asks for it.

``make test`` runs it beside the unit tests, so that nobody waits for downloads and for the Collector's build afterwards. What
cannot be had is told here first; the tests that need it try once more, and then say what they always say.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.real.parts import alertmanager, chromium, clickhouse, envoy, kafka, otel_collector, promtool, proxies
from tests.real.parts.missing import Missing, fatal

# In the order in which the tests ask for them. Those of Debian wait for each other's lock.
PARTS: Sequence[tuple[str, Callable[[], object]]] = (
    ("Apache Kafka", kafka.fetch),
    (clickhouse.PART, clickhouse.fetch),
    ("Envoy", envoy.binary),
    (alertmanager.PART, alertmanager.program),
    (chromium.PART, chromium.find),
    ("NGINX", proxies.nginx),
    ("HAProxy", proxies.haproxy),
    (promtool.PART, promtool.program),
)
BUILT: Sequence[tuple[str, Callable[[], object]]] = ((otel_collector.PART, otel_collector.binary),)
"""Takes minutes, of a processor more than of the line: beside the others, not after them."""


def get(parts: Sequence[tuple[str, Callable[[], object]]]) -> bool:
    """Get one after the other, saying of each how it went; whether the tests can have all of them.

    A part that is missing for a known reason is a failure where tests fail for it, on CI; anything else that goes wrong
    always is.
    """
    good = True
    for name, have in parts:
        begun = time.monotonic()
        try:
            have()
        except Missing as error:
            say(str(error))
            good = good and not fatal()
        except Exception as error:  # noqa: BLE001 - the others are got all the same
            say(f"{name}: {type(error).__name__}: {error}")
            good = False
        else:
            say(f"{name}: there, after {time.monotonic() - begun:.0f} s")
    return good


def say(line: str) -> None:
    """At once: what is read after a kill has it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Exit status: 0, or 1 if tests will fail for want of a part."""
    with ThreadPoolExecutor(2) as both:
        return 0 if all(list(both.map(get, (PARTS, BUILT)))) else 1


if __name__ == "__main__":
    sys.exit(main())
