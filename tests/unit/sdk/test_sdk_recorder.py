"""The recorder that services use in their own tests."""

import pytest

import telemetry
from telemetry.sdk.testing import recording


def test_recorders_nest_and_give_back_what_was_there() -> None:
    with recording(tier="client") as outer:
        with recording(tier="gateway") as inner, telemetry.hop("inner"):
            pass
        with telemetry.hop("outer"):
            pass
    assert ([hop.name for hop in inner.hops], [hop.name for hop in outer.hops]) == (["inner"], ["outer"])


def test_what_fails_inside_is_recorded_and_passes() -> None:
    with pytest.raises(ZeroDivisionError), recording() as recorder, telemetry.hop("x"):
        _ = 1 // 0
    assert recorder.hops[0].failed
    recorder.clear()
    assert recorder.spans == []


def test_without_configuring_nothing_is_recorded_and_nothing_breaks() -> None:
    with telemetry.hop(method="GET") as hop, telemetry.attempt("GET", "api") as attempt:
        hop.set("k", "v")
        assert not hop.span.is_recording()
        assert attempt.headers() == {}
