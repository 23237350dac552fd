"""When the demo's incident begins and ends; no test waits."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.demo.incident import IncidentTimes, run_incident_script
from telemetry.demo.settings import DemoSettings
from telemetry.errors import ConfigurationError

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Script:
    """A fleet and a clock that write down what happens."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.happened: list[str] = []
        self._waits = 0
        self._stop_at = stop_at

    def begin_incident(self) -> IncidentTimes:
        """Say so."""
        self.happened.append("begin")
        return IncidentTimes("fra", "edge", START)

    def end_incident(self) -> IncidentTimes:
        """Say so."""
        self.happened.append("end")
        return IncidentTimes("fra", "edge", START, START + timedelta(seconds=35))

    def wait(self, seconds: float) -> bool:
        """True at the wait at which the demo is stopped."""
        self.happened.append(f"wait {seconds:g}")
        self._waits += 1
        return self._waits == self._stop_at


def test_it_waits_begins_waits_and_ends() -> None:
    """The whole script, told about twice."""
    script = Script()
    told: list[IncidentTimes] = []
    times = run_incident_script(script, DemoSettings(), script.wait, told.append)
    assert script.happened == ["wait 60", "begin", "wait 35", "end"]
    assert times is not None
    assert [one.end is None for one in told] == [True, False]


def test_stopped_before_it_begins() -> None:
    """Nothing is broken, nothing is mended."""
    script = Script(stop_at=1)
    assert run_incident_script(script, DemoSettings(), script.wait) is None
    assert script.happened == ["wait 60"]


def test_an_incident_ends_even_if_the_demo_is_stopped_in_it() -> None:
    """The end is recorded."""
    script = Script(stop_at=2)
    times = run_incident_script(script, DemoSettings(), script.wait)
    assert script.happened[-1] == "end"
    assert times is not None


def test_an_incident_ends_even_if_telling_fails() -> None:
    """A broken pipe on the screen does not leave the PoP broken."""
    script = Script()

    def tell(_times: IncidentTimes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_incident_script(script, DemoSettings(), script.wait, tell)
    assert script.happened[-1] == "end"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0}, "rate: 0 requests a second; the demo can do more than 0, up to 1000"),
        ({"pops": ("fra", "fra")}, "pops: fra, fra; give each PoP once, as letters and digits"),
        ({"pops": ("fra", "../x")}, "pops: fra, ../x; give each PoP once, as letters and digits"),
        ({"incident_pop": "nrt"}, "incident_pop: nrt is not one of the PoPs fra, iad"),
        ({"incident_share": 1.0}, "incident_share: 1; it must lie between 0.01 and 0.99"),
        ({"incident_seconds": -1}, "incident_after_seconds, incident_seconds: they cannot be negative"),
    ],
)
def test_settings_out_of_range(changes: dict[str, object], message: str) -> None:
    """One line that names the setting."""
    with pytest.raises(ConfigurationError) as caught:
        DemoSettings(**changes)  # type: ignore[arg-type] # values of several types, one test
    assert str(caught.value) == message
