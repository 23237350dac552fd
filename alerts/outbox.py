"""The messages of a watcher on their way to its receivers: who sends which, what was taken, what is taken over."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerts.memory import TAKE_OVER_SECONDS, Delivery, Message
from alerts.notify import Notifier
from alerts.page import PageEvent

_log = logging.getLogger(__name__)
_REFRESH: Final = TAKE_OVER_SECONDS / 3


class Outbox:
    """Hands messages to notifiers, and hears from them what was taken. Used by the watcher's thread."""

    def __init__(self, notifiers: Sequence[Notifier], instance: str) -> None:
        self._notifiers: dict[str, Notifier] = {}
        for n in notifiers:
            same = sum(1 for name in self._notifiers if name.partition(" #")[0] == n.name)
            self._notifiers[f"{n.name} #{same + 1}" if same else n.name] = n
        self._instance = instance
        self._handed: set[tuple[str, str]] = set()
        self._settled: dict[tuple[str, str], str] = {}
        self.counts: dict[tuple[str, bool], int] = {}
        """How many events each receiver took (True) and did not (False). Replaced and never changed: any thread may read it."""

    def messages(self, events: Sequence[PageEvent], now: float) -> list[Message]:
        """Messages of ours for events, for whoever wants them."""
        made = []
        for event in events:
            waiting = tuple(name for name, n in self._notifiers.items() if n.wants(event))
            made.append(Message(event, waiting, self._instance, now))
        return [m for m in made if m.waiting]

    def after(self, outbox: Sequence[Message], now: float) -> tuple[Message, ...]:
        """The outbox without what was taken, with what has lost its owner taken over, and our claims renewed in time."""
        self._hear()
        left: list[Message] = []
        for message in outbox:
            kept = message
            if message.owner != self._instance and now - message.claimed > TAKE_OVER_SECONDS:
                _log.warning("taking over a message that another watcher did not deliver: %s", message.event.summary)
                kept = replace(message, owner=self._instance, claimed=now)
            if kept.owner == self._instance:
                waiting = tuple(n for n in kept.waiting if self._outcome(n, kept.event) is None)
                if not waiting:
                    continue
                claimed = now if now - kept.claimed > _REFRESH else kept.claimed
                kept = replace(kept, waiting=waiting, claimed=claimed)
            left.append(kept)
        return tuple(left)

    def deliveries(self, outbox: Sequence[Message], now: float) -> tuple[Delivery, ...]:
        """What became of those messages that :meth:`after` took out of the same outbox."""
        return tuple(
            Delivery(m.event.id, name, now, outcome)
            for m in outbox
            if m.owner == self._instance
            for name in m.waiting
            if (outcome := self._outcome(name, m.event)) is not None
        )

    def send(self, outbox: Sequence[Message]) -> None:
        """Hand over what is ours and was not handed over yet. Call when the outbox has been written down."""
        ids = {m.event.id for m in outbox}
        self._settled = {s: problem for s, problem in self._settled.items() if s[1] in ids}
        self._handed = {s for s in self._handed if s[1] in ids}
        held: set[tuple[str, str]] = set()
        for message in outbox:
            for name in message.waiting:
                mark, place = (name, message.event.id), (name, message.event.dedup_key)
                if message.owner != self._instance:
                    held.add(place)  # a resolve must not overtake its trigger, which another watcher still has
                elif place not in held and mark not in self._handed and name in self._notifiers:
                    self._handed.add(mark)
                    if not _hand(self._notifiers[name], message.event):
                        self._settle(*mark, "it failed")

    def tell(self, event: PageEvent) -> None:
        """Hand over an event that no outbox can hold (ClickHouse is away). From any thread."""
        for notifier in self._notifiers.values():
            if notifier.wants(event):
                _hand(notifier, event)

    def refresh(self, opened: Sequence[PageEvent], now: float, *, alive: bool = True) -> None:
        """Tell every notifier what is open; a dead-man's switch only if we are ``alive``, which is: can evaluate."""
        for notifier in self._notifiers.values():
            if not alive and getattr(notifier, "alive_only", False):
                continue
            try:
                notifier.refresh([e for e in opened if notifier.wants(e)], now)
            except Exception:  # noqa: BLE001 - one notifier's bug must not keep a page from the others
                _log.exception("a notifier failed")

    def _hear(self) -> None:
        for name, notifier in self._notifiers.items():
            for event_id, problem in notifier.settled():
                self._settle(name, event_id, problem)

    def _settle(self, name: str, event_id: str, problem: str) -> None:
        self._settled[(name, event_id)] = problem
        mark = (name, not problem)
        self.counts = {**self.counts, mark: self.counts.get(mark, 0) + 1}

    def _outcome(self, name: str, event: PageEvent) -> str | None:
        """None while it waits, the problem if it was lost, empty if it was taken."""
        return (
            "no watcher has this receiver any more"
            if name not in self._notifiers
            else self._settled.get((name, event.id))
        )


def _hand(notifier: Notifier, event: PageEvent) -> bool:
    """Give an event to a notifier; False if that cannot take it."""
    try:
        notifier.notify(event)
    except Exception:  # noqa: BLE001 - whatever it is, the other notifiers get the page
        _log.exception("a notifier failed")
        return False
    return True
