"""What the watcher must not forget: alerts, incidents, and messages on their way. Kept in a file or in ClickHouse.

**Nothing is lost, nothing is sent twice.** What is to be sent is written down (the outbox) together with the state that made
it, before anybody is told; it leaves the outbox when a receiver has taken it. A watcher that dies in between leaves it there
for the next one. What was delivered but not yet taken out when the watcher died is sent again with the same id: receivers
that fold by key (PagerDuty, Alertmanager, ``Idempotency-Key``) show it once.

**Two watchers.** With :class:`TableMemory` the state is a log of versions; version n is written by whoever comes first (by
ClickHouse's own deduplication, as the blocks of paths are), and the other one reads it and decides anew. So an alert is
opened once, and its page is owned by one watcher, until that one has not been heard of for :data:`TAKE_OVER_SECONDS`.
"""

import json
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from alerts.burnrate import Severity
from alerts.decide import AlertState
from alerts.incidents import Incident
from alerts.page import PageEvent, event_from
from alerts.sli_reads import Group
from telemetry.errors import ConfigurationError, StoreError
from telemetry.store.base import Parameter, Store

VERSION: Final = 2
TAKE_OVER_SECONDS: Final = 45.0
_KEPT: Final = 1000
_log = logging.getLogger(__name__)


class Scope(NamedTuple):
    """What a watcher must know to decide about an alert (:mod:`alerts.known`).

    Of blindness ``slo`` begins with ``~``, and ``split`` is the SLO that it is about; else that is the column that splits it.
    """

    slo: str
    split: str
    severity: Severity


class AlertKey(NamedTuple):
    """What one alert is: a group of an SLO at a severity."""

    group: Group
    severity: Severity

    @property
    def dedup_key(self) -> str:
        """Short, stable text for receivers that fold repetitions."""
        return "/".join(part or "-" for part in ("edgepath", *self.group, self.severity))

    @property
    def scope(self) -> Scope | None:
        """What must be known to decide about it; None of blindness that no SLO has to do with."""
        slo, _, dimension, value = self.group
        if not slo.startswith("~"):
            return Scope(slo, dimension, self.severity)
        return Scope(slo, value, self.severity) if dimension == "slo" else None


@dataclass(frozen=True)
class Alert:
    """Where an alert stands, and the event that opened it (None if it is not open)."""

    state: AlertState
    event: PageEvent | None


@dataclass(frozen=True)
class Message:
    """An event on its way.

    Attributes:
        event: what is told.
        waiting: names of the receivers that have not taken it.
        owner: the watcher that sends it.
        claimed: when the owner was last heard of.
    """

    event: PageEvent
    waiting: tuple[str, ...]
    owner: str
    claimed: float


class Delivery(NamedTuple):
    """What became of an event at a receiver.

    Attributes:
        event_id, receiver: which.
        at: when we heard of it, in seconds since the epoch.
        problem: why it was not delivered; empty if it was.
    """

    event_id: str
    receiver: str
    at: float
    problem: str = ""


@dataclass(frozen=True)
class State:
    """Everything that is remembered.

    Attributes:
        deliveries: what became of what was sent; the latest.
        known: when a watcher last said that it knows what the alerts are about, in seconds since the epoch.
    """

    alerts: dict[AlertKey, Alert] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    outbox: tuple[Message, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    known: dict[Scope, float] = field(default_factory=dict)


class Memory(Protocol):
    """Keeps a :class:`State`. Used by one thread."""

    instance: str

    def load(self) -> State:
        """The newest state.

        Raises:
            StoreError, UnavailableError: it cannot be read now.
        """
        ...

    def save(self, state: State) -> bool:
        """Write the state that follows the one loaded last; False if somebody else's came first. Raises as :meth:`load`."""
        ...


def record(store: Store, events: Sequence[PageEvent]) -> None:
    """Note events in ``alert_events``, for reports: of an incident one row for each of its alerts.

    The same event a second time changes nothing.

    Raises:
        StoreError, UnavailableError: it cannot be written now.
    """
    for e, alert in [(event, alert) for event in events for alert in _alerts_of(event)]:
        times = ", ".join(f"fromUnixTimestamp64Milli({round(t * 1000)}, 'UTC')" for t in (e.at, e.started))
        columns = "at, started, kind, cause, dedup_key, slo, service, environment, value, severity, summary"
        names = columns.split(", ")[2:]
        values: dict[str, Parameter] = {**{name: str(getattr(e, name)) for name in names}, **alert}
        store.execute(
            f"INSERT INTO alert_events ({columns}) SELECT {times}, {', '.join(f'{{{n}:String}}' for n in names)}",
            values,
        )


def _alerts_of(event: PageEvent) -> list[dict[str, str]]:
    """Of each alert of an incident what it has of its own: first of the one that heads it, which is the event's."""
    others = [m for m in event.members if (m.slo, m.value) != (event.slo, event.value)]
    return [{}, *({"dedup_key": m.key, "slo": m.slo, "value": m.value} for m in others)]


def new_instance() -> str:
    """A name for a watcher that no other one has."""
    return uuid.uuid4().hex[:12]


class FileMemory:
    """In a JSON file that is replaced in one step, or only in this process without one. For a watcher that is alone."""

    def __init__(self, path: Path | None = None) -> None:
        """Read ``path`` if it is there.

        Raises:
            ConfigurationError: it cannot be used: better than to page again or to forget a page.
        """
        self.instance = new_instance()
        self._path = path
        # Whoever wrote it is gone: what it had on its way is ours.
        old = _read(path) if path is not None else State()
        self._state = replace(old, outbox=tuple(replace(m, owner=self.instance) for m in old.outbox))

    def load(self) -> State:
        """As :meth:`Memory.load`."""
        return self._state

    def save(self, state: State) -> bool:
        """As :meth:`Memory.save`. A file that cannot be written is logged and not raised: paging goes on without it."""
        self._state = state
        path = self._path
        if path is None:
            return True
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8") as file:
                file.write(encode(state, 1))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            _log.error("cannot write the watcher's state %s (%s): a restart would page again", path, error)
        return True


class TableMemory:
    """In ``alert_state``, shared by all watchers of a database."""

    def __init__(self, store: Store, instance: str = "") -> None:
        self.instance = instance or new_instance()
        self._store = store
        self._version = 0
        self._state = State()

    def load(self) -> State:
        """As :meth:`Memory.load`."""
        rows = self._store.query(
            "SELECT version, state FROM alert_state WHERE version > {version:UInt64} ORDER BY version DESC LIMIT 1",
            {"version": self._version},
        ).rows
        if rows:
            try:
                self._state = decode(rows[0][1])
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"the newest row of alert_state cannot be read ({error}); was it written by another release?"
                ) from error
            self._version = int(rows[0][0])
        return self._state

    def save(self, state: State) -> bool:
        """As :meth:`Memory.save`: one insert with the version as its token, and a look at who wrote that version."""
        version = self._version + 1
        parameters: dict[str, Parameter] = {"version": version, "writer": self.instance, "state": encode(state)}
        # The guard keeps out a watcher that slept longer than tokens are remembered.
        self._store.execute(
            "INSERT INTO alert_state (version, writer, state) SELECT {version:UInt64}, {writer:String}, {state:String} "  # noqa: S608
            "WHERE (SELECT max(version) FROM alert_state) < {version:UInt64} "
            f"SETTINGS insert_deduplicate = 1, async_insert = 0, insert_deduplication_token = 'alert_state/{version}'",
            parameters,
        )
        writers = self._store.query(
            "SELECT writer FROM alert_state WHERE version = {version:UInt64} LIMIT 1", {"version": version}
        ).rows
        if not writers or writers[0][0] != self.instance:
            return False
        self._version, self._state = version, state
        if version % _KEPT == 0:
            self._store.execute("DELETE FROM alert_state WHERE version < {least:UInt64}", {"least": version - _KEPT})
        return True


def encode(state: State, indent: int | None = None) -> str:
    """A state as JSON."""
    told = {
        "version": VERSION,
        "alerts": [
            {
                "group": list(k.group),
                "severity": k.severity,
                "state": asdict(a.state),
                "event": a.event.to_dict() if a.event else None,
            }
            for k, a in sorted(state.alerts.items(), key=lambda item: item[0])
        ],
        "incidents": [
            {
                "key": k,
                "event": i.event.to_dict(),
                "joined": i.joined,
                "open": list(i.open_keys),
                "ended": list(i.ended),
            }
            for k, i in sorted(state.incidents.items())
        ],
        "outbox": [
            {"event": m.event.to_dict(), "waiting": list(m.waiting), "owner": m.owner, "claimed": m.claimed}
            for m in state.outbox
        ],
        "deliveries": [list(d) for d in state.deliveries],
        "known": [[*scope, at] for scope, at in sorted(state.known.items())],
    }
    return json.dumps(told, indent=indent)


def decode(text: str) -> State:
    """The state of a JSON text.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    told = json.loads(text)
    if told["version"] != VERSION:
        raise ValueError(f"version {told['version']}")
    return State(
        dict(_alert(entry) for entry in told["alerts"]),
        {
            i["key"]: Incident(event_from(i["event"]), i["joined"], tuple(i["open"]), tuple(i.get("ended", ())))
            for i in told["incidents"]
        },
        tuple(Message(event_from(m["event"]), tuple(m["waiting"]), m["owner"], m["claimed"]) for m in told["outbox"]),
        tuple(Delivery(*d) for d in told.get("deliveries", ())),
        # A state of an older release has none.
        {Scope(slo, split, _severity(severity)): float(at) for slo, split, severity, at in told.get("known", ())},
    )


def _alert(entry: dict[str, Any]) -> tuple[AlertKey, Alert]:
    kept = entry["state"]
    state = AlertState(
        **{**kept, "rules": tuple(kept["rules"]), "pending": tuple((k, float(at)) for k, at in kept["pending"])}
    )
    event = event_from(entry["event"]) if entry["event"] else None
    return AlertKey(Group(*entry["group"]), _severity(entry["severity"])), Alert(state, event)


def _severity(text: str) -> Severity:
    return "page" if text == "page" else "ticket"


def _read(path: Path) -> State:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return State()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the watcher's state {path}: {error}") from error
    try:
        return decode(text)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the watcher's state {path} cannot be used ({error}); move it away, and open alerts will page again"
        ) from error
