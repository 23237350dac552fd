"""How much is asked of the store does not depend on how many SLOs and groups are watched."""

import pytest

from alerts.sli_reads import periods, read_periods
from alerts.slos.model import Slo
from alerts.status import status
from alerts.watch import Watcher
from telemetry.store.base import Store
from tests.support.counting_store import CountingStore
from tests.unit.alerts.alerts_support import T0, WORKBOOK, make_slo


def fill(store: Store, slos: int, groups: int) -> list[Slo]:
    """Good minutes of so many SLOs of so many groups each: of the last quarter of an hour, and of two days ago."""
    store.execute("TRUNCATE TABLE sli_1m")
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        f"total_squares) SELECT concat('slo-', toString(number % {slos})), "
        f"{int(T0)} - 60 * intDiv(number, {slos * groups}) - if(number % 2, 0, 172800), 'prod', 'pop', "
        f"concat('pop-', toString(intDiv(number, {slos}) % {groups})), 9, 9, 9, 9, 9, 9 FROM numbers({slos * groups * 15})"
    )
    return [make_slo(name=f"slo-{n}", service=f"service-{n}") for n in range(slos)]


def asked(store: Store, slos: int, groups: int) -> list[int]:
    """How many statements evaluations send, one after the other: with all windows, with the short ones, a minute later."""
    counting = CountingStore(store)
    watcher = Watcher(counting, fill(store, slos, groups), WORKBOOK, sync_views=False, blindness=True)
    found = []
    for later in (0, 15, 60):
        counting.statements.clear()
        watcher.evaluate(T0 + later)
        assert len(watcher._observer._long[1]) == slos * groups, "not every group was read"
        found.append(len(counting.statements))
    return found


def test_an_evaluation_of_300_pairs_asks_no_more_than_one_of_ten(store: Store) -> None:
    few, many = asked(store, 2, 5), asked(store, 20, 15)
    assert few == many
    assert few[1] < few[0]  # the long windows are not read every time


@pytest.mark.parametrize("sliced", [False, True])
def test_neither_does_a_status(store: Store, sliced: bool) -> None:
    """One period; each other one is asked for by itself."""
    counts = []
    for slos, groups in ((2, 5), (20, 15)):
        counting = CountingStore(store)
        made = fill(store, slos, groups)
        if sliced:
            made = [make_slo(name=slo.name, slice_seconds=300, slice_target=slo.objective) for slo in made]
        assert len(status(counting, made, T0)) == slos * groups
        counts.append(len(counting.statements))
    assert counts == [3, 3]


def test_only_the_slos_of_another_period_take_another_query(store: Store) -> None:
    counting = CountingStore(store)
    slos = fill(store, 4, 2)
    slos[0] = make_slo(name="slo-0", period_seconds=7 * 86_400)
    assert len(read_periods(counting, slos, T0)) == 8
    assert len(counting.statements) == 2
    assert set(periods(counting, slos, T0)) == {slo.name for slo in slos}
    assert len(counting.statements) == 3
