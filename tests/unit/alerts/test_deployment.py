"""Several deployments of Edgepath that page the same people: what one of them pages must not be taken for another's."""

import logging
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.burnrate import Rule
from alerts.notify import CallbackNotifier
from alerts.notify.alertmanager import alert
from alerts.notify.heartbeat import heartbeat
from alerts.notify.pagerduty import body
from alerts.outage import KEY, Outage
from alerts.page import PageEvent, event_from, named
from alerts.peers import Decision, Peers, Stage, Standing
from alerts.slos.model import Alerting, Slo
from alerts.watch import Watcher
from telemetry.cli.group import edgepath
from telemetry.errors import UnavailableError
from tests.unit.alerts.alerts_support import T0, make_event, make_policy, make_slo, write
from tests.unit.alerts.http_receiver import receiving
from tests.unit.alerts.test_sight import FRA, SILENT_FRA, Seen, fresh
from tests.unit.alerts.test_told_targets import Target


class Deployment:
    """A watcher of some name, that may be started anew under another one; driven minute by minute."""

    def __init__(
        self, folder: Path, name: str = "", slos: Sequence[Slo] = (make_slo(),), others: Sequence[Target] = ()
    ) -> None:
        self.store, self.now, self.folder, self.slos, self.others = Seen(), float(T0), folder, slos, others
        self.told: list[PageEvent] = []
        self.start(name)

    def start(self, name: str) -> None:
        """A new process."""
        policy = make_policy(delay_seconds=0, keep_firing_seconds=60)
        self.watcher = Watcher(
            self.store, self.slos, policy, [CallbackNotifier(self.told.append), *self.others], sync_views=False,
            blindness=True, counters=lambda *_: {FRA: 300.0}, state_file=self.folder / "watch.json", deployment=name,
        )  # fmt: skip

    def run(self, minutes: int, bad: float = 0) -> list[tuple[str, str, str]]:
        """(kind, cause, key) of what is told."""
        before = len(self.told)
        for _ in range(minutes):
            self.now += 60
            self.store.add(self.now, 100 - bad, bad)
            try:
                self.watcher.evaluate(self.now)
            except UnavailableError:
                continue
        return [(e.kind, e.cause, e.dedup_key) for e in self.told[before:]]

    def suffer(self) -> list[tuple[str, str, str]]:
        """An SLO burns, a PoP is silent, an SLO matches nothing, and then ClickHouse is away."""
        told = self.run(2)
        self.store.freshness = SILENT_FRA
        told += self.run(2, bad=100)
        self.store.broken = UnavailableError("ClickHouse at db:9000 does not answer")
        return told + self.run(3, bad=100)

    def recover(self) -> list[tuple[str, str, str]]:
        """All is well again."""
        self.store.broken, self.store.freshness = None, fresh()
        return self.run(5)


OTHER = make_slo(name="other")


def test_two_of_them_share_no_key(tmp_path: Path) -> None:
    """The same alerts in both, of the same names: each is a page of its own, and says whose it is on its first line."""
    keys: list[set[str]] = []
    for name in ("", "eu-1", "us.2"):
        deployment = Deployment(tmp_path / name, name, (make_slo(), OTHER))
        told = deployment.suffer()
        assert {cause for _, cause, _ in told} == {"burn-rate", "no-telemetry", "empty", "unreachable"}
        keys.append({key for _, _, key in told})
        for event in deployment.told:
            assert event.deployment == name
            assert (f" at {name}: " in event.summary) == bool(name)
            assert alert(event)["labels"].get("deployment", "") == name
            assert body(event, "key")["payload"]["custom_details"].get("deployment", "") == name
            assert event_from(event.to_dict()) == event
        assert [kind for kind, _, _ in deployment.recover()].count("resolve") == 3, "empty goes on"
    assert len(keys[0] | keys[1] | keys[2]) == sum(map(len, keys))
    assert KEY in keys[0], "without a name the keys are as they were"
    assert "edgepath:eu-1/~unreachable/-/-/-/page" in keys[1]
    assert "edgepath:eu-1/edge-availability/prod/pop/fra/page" in keys[1]


@pytest.mark.parametrize(("old", "new"), [("", "eu-1"), ("eu-1", ""), ("eu-1", "eu-2")])
def test_what_is_open_ends_under_the_name_it_was_opened_with(tmp_path: Path, old: str, new: str) -> None:
    """Receivers know a page by its key and labels. What comes then has the new name."""
    deployment = Deployment(tmp_path, old)
    opened = {key for kind, _, key in deployment.suffer() if kind == "trigger"}
    before = {e.dedup_key: alert(e)["labels"] for e in deployment.told}
    assert len(opened) == 3
    deployment.start(new)
    assert deployment.run(3, bad=100) == [], "nor is anything paged again"
    ended = deployment.recover()
    assert {key for kind, _, key in ended if kind == "resolve"} == opened
    assert {e.dedup_key: alert(e)["labels"] for e in deployment.told if e.kind == "resolve"} == before
    assert deployment.watcher.open_events() == []
    deployment.suffer()
    assert {e.deployment for e in deployment.told[-3:]} == {new}


def test_who_is_told_later_is_told_of_the_page_that_is_open(tmp_path: Path) -> None:
    """Under its key and its name, though the watcher has another one by then."""
    chat, pager = Target("chat"), Target("pager")
    slow = Alerting("slow", Rule("page", 240, 60, Decimal(6)), ("chat",))
    fast = Alerting("fast", Rule("page", 120, 60, Decimal(300)), ("pager",))
    deployment = Deployment(tmp_path, "eu-1", [make_slo(alerting=(slow, fast))], (chat, pager))
    deployment.run(2)
    ((kind, _, key),) = deployment.run(4, bad=2)
    deployment.start("eu-2")
    assert deployment.run(4, bad=90) == []
    assert (kind, key) == ("trigger", "edgepath:eu-1/edge-availability/prod/pop/fra/page")
    assert [(e.kind, e.dedup_key, e.deployment) for e in pager.events] == [("trigger", key, "eu-1")]
    deployment.run(10)
    assert [(e.kind, e.dedup_key) for e in pager.events[1:]] == [("resolve", key)]
    assert [e.kind for e in chat.events] == ["trigger", "resolve"]


def test_a_page_of_an_outage_that_an_older_release_kept_is_ended(tmp_path: Path) -> None:
    """It kept no event."""
    kept = write(tmp_path / "o.json", f'{{"since": {T0}, "told": {T0 + 60}, "ours": true}}')
    well, ours = Outage(kept).worked(T0 + 120)
    assert well is not None
    assert (well.kind, well.dedup_key, well.started, ours) == ("resolve", KEY, T0 + 60, True)


def test_what_an_outage_told_is_known_after_a_restart(tmp_path: Path) -> None:
    """Alertmanager forgets what nobody repeats."""
    outage = Outage(tmp_path / "o.json", deployment="eu-1")
    assert outage.due(T0 + 60, 60)
    page = outage.open(T0 + 60, "away", ours=True)
    assert Outage(tmp_path / "o.json").event == page


def test_a_dead_mans_switch_says_whose_it_is() -> None:
    """One deployment that is dead must not look alive because another one is."""
    with receiving() as receiver:
        for name in ("", "eu-1"):
            for watchdog in (False, True):
                beat = heartbeat(receiver.url, watchdog=watchdog, deployment=name)
                beat.refresh([], T0)
                beat.close(5)
    plain, labels, named_plain, named_labels = receiver.bodies
    assert "deployment" not in plain
    assert "deployment" not in labels[0]["labels"]
    assert named_plain["deployment"] == "eu-1"
    assert named_labels[0]["labels"]["deployment"] == "eu-1"


def test_a_watcher_of_another_name_is_none_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """It would end nothing that we open: each pages by itself, and the log says what to mend."""
    clock = [0.0]
    for other, expected in (
        (Standing("a", Stage.TOLD), Decision.LEFT),
        (Standing("a", Stage.TOLD, None, "x"), Decision.TELL),
    ):
        peers = Peers("b", [lambda other=other: other], monotonic=lambda: clock[0])  # type: ignore[misc]
        assert peers.decide(60) is expected
    assert "the watcher a is of deployment 'x' and this one of ''" in caplog.text
    assert "give both the same --deployment" in caplog.text
    caplog.clear()
    caplog.set_level(logging.ERROR)
    for clock[0] in (10.0, 30.0, 61.0):
        peers.behind(5)
    assert caplog.text.count("give both the same") == 1


def test_a_name_is_plain_and_short() -> None:
    from click.testing import CliRunner  # noqa: PLC0415 - for this test alone

    def told(name: str, **variables: Any) -> Any:
        return CliRunner().invoke(
            edgepath, ["watch", "--show-config", *([f"--deployment={name}"] if name else [])], env=variables
        )

    for name in ("eu-1", "A.b_c", "x" * 40):
        assert f'deployment = "{name}"' in told(name).output
    assert "# deployment is not set" in told("").output
    for name in ("a b", "a/b", "-a", "ü", "x" * 41, "a@1", "a:b"):
        result = told(name)
        assert result.exit_code == 2
        assert "is not a plain name" in result.output
    assert told("", EDGEPATH_WATCH_DEPLOYMENT="a b").exit_code == 2


def test_a_payload_without_a_name_is_read() -> None:
    """Of an older release."""
    payload = make_event().to_dict()
    del payload["deployment"]
    assert event_from(payload) == make_event()
    assert named(make_event(), "") == make_event()
