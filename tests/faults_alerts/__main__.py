"""``python -m tests.faults_alerts [COUNT]``: exit status 1 if an incident was missed, paged twice, or resolved without data."""

import contextlib
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.faults_alerts.incidents import main


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def run() -> int:
    """Run them all, and print what became of them."""
    logging.disable(logging.CRITICAL)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with (
        tempfile.TemporaryDirectory(prefix="edgepath-faults-") as folder,
        contextlib.closing(ChdbEngine(Path(folder), "edgepath")) as engine,
    ):
        store = EmbeddedStore(engine, owns_engine=False)
        schema.apply(store)
        outcomes = main(count, _say, store)
    faults = Counter(f.partition(" ")[2] for o in outcomes for f in o.faults)
    missed, doubled, blind = (sum(getattr(o, name) for o in outcomes) for name in ("missed", "doubled", "blind"))
    sys.stdout.write(f"faults: {', '.join(f'{n} {name}' for name, n in sorted(faults.items()))}\n")
    sys.stdout.write(f"deliveries repeated under the same key after a crash: {sum(o.repeated for o in outcomes)}\n")
    sys.stdout.write(f"incidents: {count}, missed: {missed}, paged twice: {doubled}, resolved without data: {blind}\n")
    return 0 if missed + doubled + blind == 0 else 1


if __name__ == "__main__":
    sys.exit(run())
