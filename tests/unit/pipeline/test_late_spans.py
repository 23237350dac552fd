"""Late spans and the past of their traces: restated and never a second path, whoever owns the partition now."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from telemetry.engine.settings import EngineSettings
from telemetry.errors import StoreError, UnavailableError
from telemetry.store.base import Parameter
from telemetry.store.embedded import EmbeddedStore
from tests.support.flaky_store import FlakyStore
from tests.unit.pipeline.pipeline_rig import SETTINGS, Rig, trace


def test_late_spans_that_come_while_others_wait_for_the_store(rig: Rig) -> None:
    """Late spans are taken out, and the store does not tell what they belong to; meanwhile more of their trace come.

    The second ones restate what the first ones made, and not the path of before once more.
    """
    rig.send(trace(1, 5))
    rig.pass_time(15)
    assert rig.stored() == Counter([1])
    rig.store.away = True
    for last in (6, 7, 8):
        rig.send(trace(1, last)[last - 1 :])
        for _ in range(4):
            rig.seconds += 1
            with contextlib.suppress(UnavailableError):
                rig.pipeline.step()
    rig.store.away = False
    rig.pass_time(30)
    held = rig.real_store.query(
        "SELECT version, spans FROM path_log WHERE kind = 'path' AND sign = 1 ORDER BY version"
    ).rows
    assert held == [(1, 5), (2, 6), (3, 8)]
    assert rig.stored() == Counter([1])
    assert rig.real_store.query("SELECT sum(requests), toInt64(sum(complete)) FROM path_1m").rows == [(1.0, 1)]
    assert rig.late() == Counter([(1, 6), (1, 7), (1, 8)])


class NoPast(FlakyStore):
    """Refuses to tell of what it has stored of paths, but takes blocks."""

    refuses = False
    asked = 0

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """As ``Store.arrow``."""
        if self.refuses and "LIMIT 1 BY trace_id" in sql:
            self.asked += 1
            raise StoreError("too many bytes to read", 307)
        return super().arrow(sql, parameters)


def test_a_partition_whose_past_cannot_be_read_keeps_no_other_one(
    rig: Rig, embedded_store: EmbeddedStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are stored and committed; it is tried again more and more rarely, and loses and doubles nothing."""
    store = NoPast(embedded_store)
    rig.store = store
    rig.start(0, 1)
    rig.send(trace(1, 7))
    rig.pass_time(15)
    store.refuses = True
    rig.send(trace(1)[7:])
    rig.send(trace(2), partition=1)
    rig.pass_time(60)
    assert rig.stored() == Counter([1, 2])
    assert rig.topic.committed == {0: 2, 1: 1}  # the late span itself is read again by who comes next
    assert 3 < store.asked < 10
    assert rig.pipeline.status().trouble == "the past of partition 0 cannot be read: too many bytes to read"
    assert caplog.text.count("partition 0 waits, for its late spans cannot be joined") == 1
    rig.pipeline.finish(0)
    assert "left to who comes next" in caplog.text
    store.refuses = False
    rig.pass_time(20)
    assert rig.pipeline.status().trouble == ""
    assert (rig.stored(), rig.late()) == (Counter([1, 2]), Counter([(1, 8)]))
    assert rig.real_store.query("SELECT sum(requests), toInt64(sum(complete)) FROM path_1m").rows == [(2.0, 2)]
    assert rig.topic.committed == {0: 3, 1: 1}


def test_many_partitions_whose_past_answers_slowly(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round waits for it no longer than some seconds, and each of them has its turn."""
    rig.start(*range(6))
    for partition in range(6):
        rig.send(trace(partition + 1, 7), partition=partition)
    rig.pass_time(2)
    turns: list[int] = []

    def slow(partition: int, **_: Any) -> Any:
        rig.seconds += 3
        turns.append(partition)
        raise UnavailableError("the store does not answer")

    monkeypatch.setattr(rig.pipeline._engine, "close", slow)
    begun = rig.seconds
    rig.pipeline.step()
    assert rig.seconds - begun < 10
    rig.pass_time(20)
    assert set(turns) == set(range(6))
    assert rig.pipeline.status().troubles == (
        "the past of partitions 0, 1, 2, 3, 4 and 1 more cannot be read: the store does not answer",
    )
    monkeypatch.undo()
    rig.pass_time(20)
    assert rig.stored() == Counter(range(1, 7))


def test_a_new_owner_takes_over_no_more_than_fits(rig: Rig) -> None:
    """The newest, shared among its partitions; of the others it asks the log, and late spans of theirs are no second path."""
    for number in range(1, 7):
        rig.send(trace(2 * number - 1, 7), trace(2 * number, 7))
        rig.pass_time(15)
    rig.start(settings=dataclasses.replace(SETTINGS, engine=EngineSettings(max_remembered=12)))
    rig.pass_time(1)
    assert len(rig.pipeline._engine._emitted) == 6
    rig.send(*(trace(number)[7:] for number in (1, 6, 7, 12)))
    rig.pass_time(15)
    assert rig.stored() == Counter(range(1, 13))
    assert rig.late() == Counter((number, 8) for number in (1, 6, 7, 12))
    assert rig.real_store.query("SELECT sum(requests) FROM path_1m").scalar() == 12


@pytest.mark.parametrize("remember_ms", [1, 900_000])
def test_late_spans_after_a_restart(rig: Rig, remember_ms: int) -> None:
    """Of a trace that was emitted before what the new owner remembers: it asks the log. Else it knows."""
    rig.send(trace(1, 7))
    rig.pass_time(15)
    rig.send(trace(2, 7))
    rig.pass_time(15)
    rig.start(settings=dataclasses.replace(SETTINGS, engine=EngineSettings(remember_ms=remember_ms)))
    rig.pass_time(1)
    assert len(rig.pipeline._engine._emitted) == (1 if remember_ms == 1 else 2)
    rig.send(trace(1)[7:], trace(2)[7:])
    rig.pass_time(15)
    assert rig.stored() == Counter([1, 2])
    assert rig.late() == Counter([(1, 8), (2, 8)])
    assert rig.real_store.query("SELECT sum(requests) FROM path_1m").scalar() == 2
