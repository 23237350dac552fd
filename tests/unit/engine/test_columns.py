"""Records as columns."""

import numpy as np
import pytest

from telemetry.engine.columns import columns_of
from telemetry.engine.paths import HOP, PATH


@pytest.mark.parametrize("kind", [PATH, HOP])
@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_columns_are_the_fields(kind: np.dtype[np.void], count: int) -> None:
    """Each of its type, in one piece, also of records that are not."""
    content = np.random.default_rng(1).integers(0, 256, size=2 * count * kind.itemsize, dtype=np.uint8)
    records = content.view(kind)[::2]
    columns = columns_of(records)
    assert sorted(columns) == sorted(kind.names or ())
    for name, column in columns.items():
        assert (column.dtype, column.flags.c_contiguous) == (records[name].dtype, True)
        assert column.tobytes() == records[name].tobytes()
