"""``alertWhenNoData``: an SLO without data is told, and one that has some is not."""

from decimal import Decimal
from typing import Any

import pytest

from alerts.burnrate import Policy, Rule
from alerts.lint import rules_of
from alerts.observe import Observer
from alerts.slos.model import Alerting, Slo
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, WORKBOOK, FakeStore, make_slo

QUIET = Alerting("quiet", Rule("page", 600, 60, Decimal(1)), (), when_breaching=False, when_no_data=True)


def observer(store: Store, slo: Slo, policy: Policy = WORKBOOK) -> Observer:
    """Of one SLO."""
    return Observer(store, {slo.name: slo}, {slo.name: rules_of(slo, policy)}, policy, None, blindness=True)


def told(seen: Any) -> list[str]:
    """What is told of no data."""
    return [b.text for b in seen.blind if b.cause == "no-data"]


def test_a_bucket_that_has_just_begun_is_not_without_data() -> None:
    """Paths come some seconds after they end: in the first seconds of a minute there is none of it yet."""
    store, slo = FakeStore(), make_slo(alerting=(QUIET,))
    for second in range(-600, 58, 2):
        store.add(T0 + second, 1, 0, resolution=60)
    assert told(observer(store, slo).observe([], T0 + 66, settled=True)) == []
    assert told(observer(store, slo).observe([], T0 + 186, settled=True)) == ["no data for 2 min"]


def test_slices_that_are_longer_than_the_window_hold_data(store: Store) -> None:
    """Of a window in which no whole slice has room nothing can be said."""
    slo = make_slo(alerting=(QUIET,), slice_seconds=300, slice_target=Decimal("0.9"))
    rows = [
        f"('{slo.name}', 'prod', 'pop', 'fra', {int(T0) - minute * 60}, 50, 50, 50, 50, 50, 50)" for minute in range(60)
    ]
    columns = (
        "slo, environment, dimension, value, bucket, good, total, good_paths, total_paths, good_squares, total_squares"
    )
    store.execute(f"INSERT INTO sli_1m ({columns}) VALUES {', '.join(rows)}")
    assert told(observer(store, slo).observe([], T0 + 30, settled=True)) == []
    assert told(observer(store, slo).observe([], T0 + 1000, settled=True)) == ["no data for 10 min"]


def test_what_is_not_counted_yet_is_not_without_data() -> None:
    """A new SLO's history is counted in the first seconds; if that does not end, it is told all the same."""
    watch = observer(FakeStore(), make_slo(alerting=(QUIET,)))
    for second in range(0, 300, 60):
        assert told(watch.observe([], T0 + second, settled=False)) == []
    assert told(watch.observe([], T0 + 300, settled=False)) == ["no data for 2 min"]
    assert told(observer(FakeStore(), make_slo(alerting=(QUIET,))).observe([], T0, settled=True)) == [
        "no data for 2 min"
    ]


@pytest.mark.parametrize("short", [120, 300])
def test_a_window_of_several_buckets_is_as_it_was_asked_for(short: int) -> None:
    rule = Rule("page", 3600, short, Decimal(1))
    watch = observer(FakeStore(), make_slo(alerting=(Alerting("p", rule, (), when_no_data=True),)))
    assert told(watch.observe([], T0, settled=True)) == [f"no data for {short // 60} min"]
