"""One incident after the other, with faults thrown by dice: watchers die, the receiver hangs and refuses, ClickHouse is away.

Two watchers share their state in a real (embedded) ClickHouse and send to a real HTTP server. Time is passed in, second by
second; only what the receiver is waited for is real time.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from alerts.memory import TAKE_OVER_SECONDS, TableMemory
from alerts.notify.base import DeliveryError
from alerts.notify.http import JsonPoster
from alerts.notify.queued import QueuedNotifier
from alerts.notify.webhook import WebhookSender
from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.errors import EdgepathError, UnavailableError
from telemetry.store.base import Parameter, Result, Store
from tests.unit.alerts.alerts_support import DEMO, T0, FakeStore, make_slo
from tests.unit.alerts.http_receiver import Receiver, receiving, until

FAULTS: Final = ("die", "die", "hang", "refuse", "busy", "away", "gap")
BEGIN, END, LAST = 40, 110, 330
"""Seconds at which requests begin and cease to fail, and after which nothing more is waited for."""


@dataclass
class Outcome:
    """What became of one incident.

    Attributes:
        seed: names it.
        faults: what was done to it.
        missed: a trigger or a resolve did not arrive.
        doubled: more than one page, as the receiver tells them apart (``Idempotency-Key``).
        blind: a resolve was decided while no data came.
        repeated: deliveries of the same event a second time (a watcher died between the delivery and its noting it).
    """

    seed: int
    faults: list[str] = field(default_factory=list)
    missed: bool = False
    doubled: bool = False
    blind: bool = False
    repeated: int = 0

    @property
    def well(self) -> bool:
        """Whether it went as it must."""
        return not (self.missed or self.doubled or self.blind)


class Away:
    """A store that can be away."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.away = inner, False

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As the inner one, if it is there."""
        self._check()
        answer: Result = self.inner.query(sql, parameters)
        return answer

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As the inner one, if it is there."""
        self._check()
        self.inner.execute(sql, parameters)

    def close(self) -> None:
        """Nothing."""

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("ClickHouse is away")


class Mortal:
    """A sender that dies with its watcher: its thread lives on in this process, and sends nothing any more."""

    def __init__(self, url: str) -> None:
        self._sender = WebhookSender(JsonPoster(url, read_seconds=0.15))
        self.dead = False

    def send(self, event: PageEvent) -> None:
        """Send, if alive."""
        if self.dead:
            raise DeliveryError("dead")
        self._sender.send(event)

    def close(self) -> None:
        """Close the connection."""
        self._sender.close()


@dataclass
class Process:
    """A watcher, and what dies with it."""

    watcher: Watcher
    sender: Mortal
    notifier: QueuedNotifier

    def die(self) -> None:
        """As SIGKILL would."""
        self.sender.dead = True


def start(counts: Away, shared: Away, receiver: Receiver) -> Process:
    """A new watcher."""
    sender = Mortal(f"{receiver.url}/hook")
    notifier = QueuedNotifier("hook", sender, first_backoff_seconds=0.01, longest_backoff_seconds=0.05)
    memory = TableMemory(shared)  # type: ignore[arg-type]  # of a store it has all that is used
    watcher = Watcher(counts, [make_slo()], DEMO, [notifier], sync_views=False, memory=memory)  # type: ignore[arg-type]  # as above
    return Process(watcher, sender, notifier)


@contextmanager
def one_receiver() -> Iterator[Receiver]:
    """The receiver of all incidents."""
    with receiving() as receiver:
        yield receiver


def run(seed: int, store: Store, receiver: Receiver) -> Outcome:
    """One incident."""
    random, outcome = Random(seed), Outcome(seed)
    store.execute("TRUNCATE TABLE alert_state")
    receiver.answers.clear()
    before = len(receiver.taken)
    fake = FakeStore()
    counts, shared = Away(fake), Away(store)
    processes = [start(counts, shared, receiver) for _ in range(random.choice([1, 2, 2]))]
    plan = {random.randrange(10, 200): random.choice(FAULTS) for _ in range(random.randrange(1, 7))}
    away_until = gap_until = -1
    blind_seconds: set[int] = set()
    for second in range(LAST):
        fault = plan.get(second)
        if fault:
            outcome.faults.append(f"{second}s {fault}")
        if fault == "die":
            number = random.randrange(len(processes))
            processes[number].die()
            processes[number] = start(counts, shared, receiver)
        elif fault == "away":
            away_until = second + random.randrange(5, 60)
        elif fault == "gap":
            gap_until = second + random.randrange(10, 60)
        elif fault in ("hang", "refuse", "busy"):
            answer = {"hang": (0, {}), "refuse": (503, {}), "busy": (429, {"Retry-After": "0"})}[fault]
            receiver.answers += [answer] * random.randrange(1, 4)
        counts.away = shared.away = second < away_until
        if second >= gap_until:
            bad = 18 if BEGIN <= second < END else 0
            fake.add(T0 + second, 50 - bad, bad)
        if second < gap_until or second < away_until:
            blind_seconds.add(second)
        _turn(processes, random, second)
    _settle(processes, receiver, before)
    events = [b for b in receiver.taken[before:] if b["dedup_key"].endswith("/fra/page")]
    keys = [f"{b['kind']}/{b['started']}" for b in events]
    outcome.repeated = len(keys) - len(set(keys))
    kinds = [k.partition("/")[0] for k in dict.fromkeys(keys)]
    outcome.missed = "trigger" not in kinds or "resolve" not in kinds
    outcome.doubled = kinds.count("trigger") > _incidents(fake)
    # What is decided may lie in DEMO's short window of 10 s, which ends with the bucket that began 8 s before or earlier.
    outcome.blind = any(
        b["kind"] == "resolve" and all(int(_at(b)) - d in blind_seconds for d in range(18)) for b in events
    )
    return outcome


def _turn(processes: list[Process], random: Random, second: int) -> None:
    for process in processes:
        try:
            process.watcher.evaluate(T0 + second + random.random() / 2)
        except EdgepathError:
            continue


def _settle(processes: list[Process], receiver: Receiver, before: int) -> None:
    """Let what is on its way arrive, in real time and in that of the watchers (a dead one's messages are taken over)."""
    for extra in range(int(TAKE_OVER_SECONDS) + 40):
        for process in processes:
            process.watcher.evaluate(T0 + LAST + extra)
    del receiver.answers[:]

    def idle() -> bool:
        return all(not p.notifier._queue for p in processes)

    until(idle, 30)
    for process in processes:
        process.watcher.evaluate(T0 + LAST + TAKE_OVER_SECONDS + 60)
        process.notifier.close(2)
    assert len(receiver.taken) >= before


def _at(body: dict[str, Any]) -> float:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromisoformat(body["at"]).timestamp() - T0


def _incidents(fake: FakeStore) -> int:
    """How often requests began to fail for long: one."""
    return 1 if fake.buckets else 0


def main(count: int, say: Callable[[str], None], store: Store) -> list[Outcome]:
    """Run ``count`` incidents."""
    outcomes = []
    with one_receiver() as receiver:
        for seed in range(count):
            outcome = run(seed, store, receiver)
            outcomes.append(outcome)
            if not outcome.well:
                say(f"incident {seed}: {json.dumps(outcome.__dict__)}")
            if (seed + 1) % 10 == 0:
                say(f"{seed + 1} of {count}")
    return outcomes
