"""The schema for those who may not make it: tables that are there are used, and what is missing is told with the mend."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from telemetry.errors import ConfigurationError, StoreError
from telemetry.store import schema
from telemetry.store.base import Result
from telemetry.store.tables import migrations
from tests.support.unused_store import UnusedStore


class FewRights(UnusedStore):
    """A store that lets nobody make anything.

    Args:
        numbers: migrations that were applied by others.
        code: of the refusal.
    """

    def __init__(self, numbers: Sequence[int], code: int = 497) -> None:
        self._numbers = numbers
        self._code = code

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result:  # noqa: ARG002
        """What is there."""
        if "system.tables" in sql:
            return Result(("count()",), [(int(bool(self._numbers)),)])
        return Result(("number",), [(number,) for number in self._numbers])

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Refused."""
        raise StoreError("Not enough privileges", self._code)


def test_a_schema_that_is_current_is_left_alone() -> None:
    """Nothing is asked for that needs a right: ClickHouse wants it even for what is there."""
    assert schema.apply(FewRights([number for number, _, _ in migrations()])) == []


@pytest.mark.parametrize("numbers", [[], [1]])
def test_what_is_missing(numbers: list[int]) -> None:
    """No tables, or older ones."""
    with pytest.raises(ConfigurationError, match=r"run `edgepath schema apply` as one who may .*Not enough privileges"):
        schema.apply(FewRights(numbers))


def test_other_refusals_stay_what_they_are() -> None:
    """A syntax error is no matter of rights."""
    with pytest.raises(StoreError):
        schema.apply(FewRights([], code=62))
