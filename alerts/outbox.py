"""The messages of a watcher on their way to its receivers: who sends which, what was taken, what is taken over."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from alerts.memory import TAKE_OVER_SECONDS, Message
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
        self._settled: set[tuple[str, str]] = set()

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
                waiting = tuple(
                    n for n in kept.waiting if n in self._notifiers and (n, kept.event.id) not in self._settled
                )
                if not waiting:
                    continue
                claimed = now if now - kept.claimed > _REFRESH else kept.claimed
                kept = replace(kept, waiting=waiting, claimed=claimed)
            left.append(kept)
        return tuple(left)

    def send(self, outbox: Sequence[Message]) -> None:
        """Hand over what is ours and was not handed over yet. Call when the outbox has been written down."""
        ids = {m.event.id for m in outbox}
        self._settled = {s for s in self._settled if s[1] in ids}
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
                        self._settled.add(mark)

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
            self._settled.update((name, event_id) for event_id in notifier.settled())


def _hand(notifier: Notifier, event: PageEvent) -> bool:
    """Give an event to a notifier; False if that cannot take it."""
    try:
        notifier.notify(event)
    except Exception:  # noqa: BLE001 - whatever it is, the other notifiers get the page
        _log.exception("a notifier failed")
        return False
    return True
