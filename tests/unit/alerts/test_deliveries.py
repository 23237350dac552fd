"""What became of what was sent: kept with the state, for drills, and counted."""

from pathlib import Path

import pytest

from alerts.drill import NotTakenError, taken
from alerts.memory import Delivery, FileMemory
from alerts.notify import CallbackNotifier, slack, webhook
from alerts.notify.callback import SCREEN
from alerts.page import PageEvent
from alerts.watch import Watcher
from tests.unit.alerts.alerts_support import T0, FakeStore, make_event, make_policy, make_slo
from tests.unit.alerts.http_receiver import receiving, until


def test_who_took_a_page_and_who_refused_it_is_remembered(tmp_path: Path) -> None:
    """Across a restart, and counted."""
    state = tmp_path / "state.json"
    with receiving() as good, receiving() as bad:
        bad.answers = [(404, {})]
        seen: list[PageEvent] = []
        hook, chat = webhook(good.url), slack(bad.url)
        screen = CallbackNotifier(seen.append, f"{SCREEN}here")
        store = FakeStore()
        watcher = Watcher(store, [make_slo()], make_policy(), [screen, hook, chat], sync_views=False, state_file=state)
        for second in range(20):
            store.add(T0 - 20 + second, 0, 50)
        (event,) = watcher.evaluate(T0)
        until(lambda: hook.delivered == 1 and chat.failed == 1)
        watcher.evaluate(T0 + 15)
        wanted = [
            Delivery(event.id, screen.name, T0 + 15),
            Delivery(event.id, hook.name, T0 + 15),
            Delivery(event.id, chat.name, T0 + 15, f"{bad.url}/... answered 404"),
        ]
        assert sorted(FileMemory(state).load().deliveries) == sorted(wanted)
        assert watcher.deliveries() == {(screen.name, True): 1, (hook.name, True): 1, (chat.name, False): 1}
        watcher.close()


def test_a_drill_has_arrived_when_every_receiver_took_it() -> None:
    screen, hook, chat = (Delivery("x", name, T0) for name in (f"{SCREEN}here", "webhook", "slack"))
    assert taken([screen, hook, chat, hook]) == "webhook, slack"
    with pytest.raises(NotTakenError, match=r"^slack: answered 404$"):
        taken([screen, hook, chat._replace(problem="answered 404")])
    for nobody in ([screen], []):
        with pytest.raises(NotTakenError, match="no receiver but its screen"):
            taken(nobody)


def test_a_drill_goes_to_targets_that_no_policy_names() -> None:
    """A page may name them."""
    target = slack("http://127.0.0.1:9/x", only="on-call")
    assert not target.wants(make_event())
    assert target.wants(make_event(drill=True))
