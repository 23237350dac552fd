"""The engine and the reference give the same paths, whatever the spans."""

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from telemetry.domain import paths as reference
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.columns import SpanColumns, Strings
from telemetry.engine.paths import assemble
from tests.support import traces
from tests.support.compare import request_paths

TIERS = Tiers()


def engine_paths(spans: list[Span]) -> dict[bytes, reference.RequestPath]:
    """Paths by trace id, by the engine."""
    strings = Strings()
    return request_paths(assemble(SpanColumns.of(spans, strings), strings, TIERS), strings)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True).flatmap(
        lambda ids: st.tuples(*(traces.spans(trace_id=bytes([i // 2]) * 8 + bytes([i % 2]) * 8) for i in ids))
    ),
    st.randoms(use_true_random=False),
)
def test_engine_equals_reference(batch: tuple[list[Span], ...], shuffle: random.Random) -> None:
    """Several traces at once, mixed: each path equals the one that the reference makes of the trace alone."""
    expected = {spans[0].trace_id: reference.assemble(spans, TIERS) for spans in batch}
    mixed = [span for spans in batch for span in spans]
    shuffle.shuffle(mixed)
    assert engine_paths(mixed) == expected
