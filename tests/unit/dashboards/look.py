"""Serve the page over made-up traffic with an incident, to look at it: ``python -m tests.unit.dashboards.look [PORT]``."""

import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from telemetry.store import open_store
from telemetry.web.app import create_app
from telemetry.web.server import WebServer
from tests.unit.dashboards.sample_data import Sample, insert


def main() -> None:
    """Three hours of traffic, one of them ahead, so that it goes on while one looks."""
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(data_dir=Path(directory))
        insert(store, Sample(began, minutes=180, per_second=100, incident=(105, 130)))
        page = {
            "slo": "edge-availability",
            "severity": "page",
            "summary": "fra: edge is to blame, budget burns 31 times too fast",
            "since": (began + timedelta(minutes=106)).isoformat(),
            "link": "/d/edgepath-path?var-pop=fra",
        }
        server = WebServer(create_app(store, pages=lambda: [page], status=lambda: {"requests": "100 /s"}), port=port)
        server.start()
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            server.stop()
            store.close()


if __name__ == "__main__":
    main()
