"""The documentation says what the code does: the attribute reference, and the examples of the framework pages."""

import ast
import re
from pathlib import Path

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from telemetry.sdk import reference
from telemetry.sdk.reference import METRICS, RESOURCE, SPAN
from tests.unit.sdk.sdk_support import collector, run

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [DOCS / "sdk.md", *sorted((DOCS / "sdk").glob("*.md"))]

EVERYTHING = """
    import asyncio
    import telemetry
    telemetry.configure("gateway", "gateway", "fra", environment="test", region="eu", zone="eu-1a", version="7")

    class Route:
        path = "/v1/{id}"

    async def app(scope, receive, send):
        scope["route"] = Route
        scope["edgepath.tenant"] = "acct_1"
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        headers = [(b"host", b"api:8443"), (b"user-agent", b"t/1")]
        scope = {"type": "http", "method": "brew", "scheme": "https", "path": "/v1/7", "http_version": "1.1",
                 "headers": headers, "client": ("203.0.113.9", 1), "server": ("127.0.0.1", 2)}
        async def nothing(*_): pass
        await telemetry.ASGIMiddleware(app)(scope, nothing, nothing)

    asyncio.run(main())
    with telemetry.attempt("GET", "https://api/v1/x", resend_count=1) as attempt:
        attempt.status(503)
"""


def names(pairs: "list[KeyValue]") -> set[str]:
    """The names of attributes."""
    return {pair.key for pair in pairs}


def test_the_page_is_current() -> None:
    """``python -m telemetry.sdk.reference > docs/sdk/attributes.md``."""
    assert (DOCS / "sdk" / "attributes.md").read_text() == reference.page()


def test_the_reference_has_all_that_is_emitted_and_no_more() -> None:
    """Held against what a service that does everything really sends."""
    with collector() as here:
        run(EVERYTHING, OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
        spans = {pair.key for span in here.spans() for pair in span.attributes}
        resource = {name for each in here.resources() for name in each if not name.startswith("telemetry.")}
        assert spans == {row.current for row in SPAN}
        assert resource == {row.current for row in RESOURCE}
        assert here.metric_names() == {metric.name for metric in METRICS}
        for metric in METRICS:
            (sent,) = here.metrics(metric.name)
            kind = sent.WhichOneof("data")
            points = getattr(sent, str(kind)).data_points
            assert {pair.key for point in points for pair in point.attributes} == set(
                map(reference._current, metric.attributes)
            )
            assert sent.unit == metric.unit
            assert ("histogram" in metric.kind) is (kind == "exponential_histogram")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_python_and_links_lead_somewhere(page: Path) -> None:
    """What stands in fences as Python parses; relative links are files."""
    text = page.read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(block)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
