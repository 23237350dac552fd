"""What breaks, and when. One function a kind of fault: it does one round of it while traffic flows, and returns.

The runner settles and checks after each round. Times are chosen by the world's seeded chance.
"""

import contextlib
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from telemetry.blocklog.logs import METRICS, PATHS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.errors import UnavailableError
from telemetry.store.tables import HOP_1M, PATH_1M, PATH_LOG, REQUEST_PATHS, SLI_1M
from tests.faults.consumers import Consumer
from tests.faults.points import PARTITIONS as METRIC_PARTITIONS
from tests.faults.proxy import Connection, Moment, Trap
from tests.faults.workload import Mix
from tests.faults.world import Setting, World

_INSERT: Final = b"INSERT"
_TRAP_SECONDS: Final = 15.0
_MOMENTS: Final = tuple(Moment)
_FRESH_PART: Final = re.compile(r"\w+_(\d+)_\1_0")
# Blocks that the consumers of a world write within some seconds: what slept for longer is past the window. As with the
# schema's own figures, consumers trust the window for a fifth of it.
SMALL_WINDOW: Final = 20


@dataclass(frozen=True)
class Scenario:
    """A kind of fault.

    Attributes:
        about: what it does, in a line.
        round: does one round of it.
        cases: how many seeds the long set runs.
        rounds: how many rounds with one seed, in one world.
        setting: of its worlds.
        settle_seconds: how long the consumers may take to catch up after a round.
    """

    about: str
    round: Callable[[World], None]
    cases: int
    rounds: int
    setting: Setting = field(default_factory=Setting)
    settle_seconds: float = 60.0


def kill(world: World) -> None:
    """Kill a consumer at a random time, or at a chosen moment of one of its inserts; sometimes the others as well."""
    chance, victim = world.chance, world.any_consumer()
    if chance.random() < 0.4:
        world.pass_time(chance.uniform(0.2, 3.0))
        victim.kill()
        world.fault(f"killed {victim.name}")
    else:
        when = _at_insert(world, victim, lambda _: victim.shoot())
        victim.kill()
        world.fault(f"killed {victim.name}, its insert {when}")
    dead = [victim]
    if chance.random() < 0.25:
        for other in world.consumers:
            if other is not victim:
                other.kill()
                dead.append(other)
                world.fault(f"killed {other.name}, too")
    for each in dead:
        world.pass_time(chance.uniform(0.0, 3.0))
        each.start()
    world.ready()


def zombie(world: World) -> None:
    """Stop a consumer past its session timeout, in the midst of an insert or between two, and wake it up again."""
    chance, victim = world.chance, world.any_consumer()
    if chance.random() < 0.3:
        world.pass_time(chance.uniform(0.2, 2.0))
        victim.pause()
        when = "is not under way"
    else:
        when = _at_insert(world, victim, lambda _: os.kill(victim.pid, signal.SIGSTOP))
        victim.pause()
    asleep = world.setting.session_timeout + chance.uniform(2.0, 7.0)
    world.fault(f"{victim.name} stands still for {asleep:.1f} s, its insert {when}")
    world.pass_time(asleep)
    victim.wake()
    world.pass_time(3.0)


def late_statement(world: World) -> None:
    """The network keeps an insert; its sender dies, others take over and go on; then the insert arrives."""
    chance, victim = world.chance, world.any_consumer()
    released = threading.Event()
    try:
        when = _at_insert(world, victim, lambda connection: connection.hold(released), Moment.BEFORE)
        world.pass_time(chance.uniform(0.0, 1.0))
        victim.kill()
        # Often just when the successor has asked what was emitted and has stored nothing of its own.
        kept = world.setting.session_timeout + chance.choice((chance.uniform(-1.0, 2.0), chance.uniform(3.0, 8.0)))
        world.fault(f"killed {victim.name}, its insert {when} but kept for {kept:.1f} s")
        world.pass_time(kept)
    finally:
        released.set()
    world.pass_time(1.0)
    victim.start()
    world.ready()


def usurped(world: World) -> None:
    """Somebody takes partitions over in the log while Kafka's group knows nothing of it, and is not heard of again."""
    chance = world.chance
    usurper = BlockLog(SqlLogTables(world.store, PATHS, world.topic), tries=4)
    of_metrics = BlockLog(SqlLogTables(world.store, METRICS, world.metrics_topic), tries=4)
    for _ in range(chance.randint(1, 3)):
        world.pass_time(chance.uniform(0.1, 1.5))
        partitions = chance.sample(range(world.setting.partitions), chance.randint(1, world.setting.partitions))
        taken = []
        for partition in partitions:
            with contextlib.suppress(UnavailableError):  # the one who has it writes faster than this
                taken.append(usurper.take_over(partition).partition)
        with contextlib.suppress(UnavailableError):
            of_metrics.take_over(chance.randrange(METRIC_PARTITIONS))
        world.fault(f"partitions {sorted(taken)} taken over behind the group's back")


def answer_lost(world: World) -> None:
    """The server does the work, and nobody is told: a few times in a row, at any of the statements of a block."""
    chance, victim = world.chance, world.any_consumer()
    times = chance.randint(1, 4)
    _at_insert(world, victim, Connection.swallow, Moment.ANSWERED, times=times)
    world.fault(f"the answers to {times} inserts of {victim.name} are lost")
    world.pass_time(2.0)


def cut_off(world: World) -> None:
    """An answer is lost, and its consumer finds no way to ClickHouse for longer than the deduplication window lasts."""
    chance, victim = world.chance, world.any_consumer()
    times = chance.randint(1, 2)
    _at_insert(world, victim, Connection.swallow, Moment.ANSWERED, times=times)
    away = chance.uniform(7.0, 12.0)
    world.fault(f"{times} answers to {victim.name} are lost, and then its link for {away:.1f} s")
    with contextlib.ExitStack() as closed:
        for proxy in victim.link.both:
            closed.enter_context(proxy.refusing())
        world.pass_time(away)
    world.pass_time(1.0)


def cut(world: World) -> None:
    """Connections are reset, requests are torn in the middle, new connections are refused for a while."""
    chance, victim = world.chance, world.any_consumer()
    for _ in range(chance.randint(1, 3)):
        world.pass_time(chance.uniform(0.1, 0.8))
        victim.link.cut()
        world.fault(f"reset the connections of {victim.name}")
    if chance.random() < 0.7:
        _at_insert(world, victim, Connection.tear_request, Moment.BEFORE)
        world.fault(f"tore an insert of {victim.name}")
    proxy = chance.choice(victim.link.both)
    away = chance.uniform(0.5, 3.0)
    world.fault(f"no new connections for {victim.name} for {away:.1f} s")
    with proxy.refusing():
        world.pass_time(away)


def slow(world: World) -> None:
    """A slow network, and one that stands still with its connections open."""
    chance = world.chance
    victims = chance.sample(world.consumers, chance.randint(1, len(world.consumers)))
    delay, rate, seconds = chance.uniform(0.02, 0.4), chance.choice((0, 30e3, 200e3)), chance.uniform(3.0, 7.0)
    world.fault(
        f"{', '.join(v.name for v in victims)}: {delay:.2f} s late, {rate or 'all'} bytes/s, for {seconds:.1f} s"
    )
    with contextlib.ExitStack() as slowly:
        for victim in victims:
            for proxy in victim.link.both:
                slowly.enter_context(proxy.slow(delay, rate))
        world.pass_time(seconds)
    victim, still = world.any_consumer(), chance.uniform(2.0, 8.0)
    world.fault(f"nothing passes between {victim.name} and ClickHouse for {still:.1f} s")
    with victim.link.native.hanging(), victim.link.http.hanging():
        world.pass_time(still)


def kafka_restart(world: World) -> None:
    """Kafka is stopped in order or killed, and comes back with its data."""
    killed, seconds = world.chance.random() < 0.5, world.chance.uniform(0.2, 4.0)
    world.pass_time(world.chance.uniform(0.2, 1.5))
    world.fault(f"Kafka is {'killed' if killed else 'stopped'} for {seconds:.1f} s and its start")
    with world.servers.kafka_down(killed=killed):
        world.pass_time(seconds)


def clickhouse_kill(world: World) -> None:
    """ClickHouse is killed while it works on an insert (or at any time), and comes back with its data."""
    chance, victim = world.chance, world.any_consumer()
    when = "at any time"
    if chance.random() < 0.8:
        pid, wait = world.servers.clickhouse.process.pid, chance.choice((0.0, chance.uniform(0, 0.03)))

        def strike(_: Connection) -> None:
            world.servers.loop.later(wait, lambda: _shoot(pid))

        when = f"{wait * 1000:.0f} ms after an insert of {victim.name} {_at_insert(world, victim, strike)}"
    else:
        world.pass_time(chance.uniform(0.2, 2.0))
    with world.servers.clickhouse_down():
        world.fault(f"killed ClickHouse {when}")
        world.pass_time(chance.uniform(0.1, 3.0))


def clickhouse_torn(world: World) -> None:
    """ClickHouse dies between two steps of an insert: the token is noted, the part is not there.

    It writes the one before the other, a fraction of a millisecond apart. Killed when it has done both, and a part of that
    block taken away, it has on its disk what it would have had then; nobody was told of the insert.
    """
    chance, victim = world.chance, world.any_consumer()
    server = world.servers.clickhouse
    pid = server.process.pid

    def strike(connection: Connection) -> None:
        connection.swallow()
        _shoot(pid)

    insert = chance.choice((b"INSERT INTO `path_feed`", b"INSERT INTO `path_feed`", b"INSERT INTO `path_log`"))
    when = _at_insert(world, victim, strike, Moment.ANSWERED, insert=insert)
    data = world.data_folders()
    with world.servers.clickhouse_down():
        # Of a block, the log's part is the first; there is one partition, so what is younger than its last one is of its block.
        fresh = {name: _fresh_parts(data[name]) for name in (PATH_LOG, REQUEST_PATHS, PATH_1M, HOP_1M, SLI_1M)}
        logged = fresh.pop(PATH_LOG)
        since = max(map(_written, logged))
        driven = [part for parts in fresh.values() for part in parts if _written(part) > since]
        if when != "did not come" and (driven or b"path_log" in insert):
            last = chance.choice(sorted(driven)) if driven else max(logged, key=_written)
            shutil.rmtree(last)
            table = next(name for name, folder in data.items() if folder == last.parent)
            world.fault(f"killed ClickHouse, an insert {when}, between the token and the part of {table}")
    world.pass_time(chance.uniform(0.0, 1.0))


def _fresh_parts(folder: Path) -> list[Path]:
    """Parts that one insert has written, not a merge."""
    return [part for part in folder.iterdir() if _FRESH_PART.fullmatch(part.name)]


def _written(part: Path) -> int:
    return part.stat().st_ctime_ns


def clickhouse_away(world: World, seconds: float = 60.0) -> None:
    """No ClickHouse for a minute; requests go on."""
    world.fault(f"no ClickHouse for {seconds:g} s")
    with world.servers.clickhouse_down():
        world.pass_time(seconds)


def poison(world: World) -> None:
    """Bad messages among good ones, and a consumer that dies among them."""
    world.pass_time(world.chance.uniform(2.0, 4.0))
    world.fault("bad messages")
    kill(world)


def rebalance(world: World) -> None:
    """Consumers come and go; most leave in order, some are killed."""
    chance = world.chance
    for _ in range(chance.randint(3, 5)):
        if len(world.consumers) < 2 or (len(world.consumers) < 4 and chance.random() < 0.5):
            world.fault(f"{world.add_consumer().name} joins")
        else:
            victim = world.any_consumer()
            if chance.random() < 0.3:
                victim.kill()
            came_up, code = victim.ready(), world.remove_consumer(victim)
            world.fault(f"{victim.name} leaves ({code})")
            if came_up and code not in (0, -signal.SIGKILL):
                world.problems.append(f"{victim.name} was told to end, and ended with {code}")
        world.pass_time(chance.uniform(0.3, 3.0))
    while len(world.consumers) > world.setting.consumers:
        world.remove_consumer(world.consumers[0])
    world.ready()


def everything(world: World) -> None:
    """All of them at random, for a minute and without a rest."""
    chance = world.chance
    rounds = [
        kill,
        zombie,
        late_statement,
        usurped,
        answer_lost,
        cut_off,
        cut,
        slow,
        kafka_restart,
        clickhouse_kill,
        rebalance,
    ]
    for _ in range(chance.randint(4, 6)):
        chance.choice(rounds)(world)
        world.pass_time(chance.uniform(0.0, 1.0))


def _at_insert(
    world: World,
    victim: Consumer,
    action: Callable[[Connection], None],
    moment: Moment | None = None,
    times: int = 1,
    insert: bytes = _INSERT,
) -> str:
    """Do something at a moment of one of the next inserts of a consumer, whichever way it goes; says when it was."""
    moment = moment or world.chance.choice(_MOMENTS)
    skip = world.chance.randint(0, 3)
    done = threading.Event()

    def once(connection: Connection) -> None:
        action(connection)
        done.set()

    # The statement may go either way; what has sprung on one link is taken off the other.
    traps = [proxy.set_trap(Trap(insert, moment, once, skip, times)) for proxy in victim.link.both]
    caught = world.until(f"an insert of {victim.name}", done.is_set, _TRAP_SECONDS)
    if times > 1:
        world.until("all of them", lambda: any(trap.sprung.is_set() for trap in traps), _TRAP_SECONDS)
    victim.link.forget_traps()
    return moment.value if caught else "did not come"


def _shoot(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


_SMALL: Final = Setting(window=SMALL_WINDOW, stale_blocks=SMALL_WINDOW // 5)

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "kill": Scenario("kill -9 of consumers at random points", kill, cases=13, rounds=8),
    "zombie": Scenario("a consumer sleeps past its session and the window, and wakes", zombie, 5, 4, _SMALL),
    "late-statement": Scenario("an insert arrives long after its sender's death", late_statement, 3, 4, _SMALL),
    "usurped": Scenario("partitions taken over behind the group's back", usurped, cases=2, rounds=5),
    "answer-lost": Scenario("inserts whose answers are lost", answer_lost, cases=3, rounds=5),
    "cut-off": Scenario("an answer is lost, then the link for longer than the window", cut_off, 3, 4, _SMALL),
    "cut": Scenario("connections cut, requests torn", cut, cases=2, rounds=5),
    "slow": Scenario("a slow network, and one that stands still", slow, cases=2, rounds=4),
    "kafka-restart": Scenario("Kafka stopped or killed", kafka_restart, cases=2, rounds=4),
    "clickhouse-kill": Scenario("ClickHouse killed in the middle of inserts", clickhouse_kill, cases=4, rounds=5),
    "clickhouse-torn": Scenario(
        "ClickHouse killed in the middle of one step of an insert",
        clickhouse_torn,
        cases=4,
        rounds=5,
        setting=Setting(consumers=1, partitions=1),
    ),
    "clickhouse-away": Scenario("no ClickHouse for a minute", clickhouse_away, cases=1, rounds=1, settle_seconds=180),
    "poison": Scenario("bad messages among good ones", poison, 2, 3, Setting(mix=Mix(poison=0.5))),
    "rebalance": Scenario("consumers come and go", rebalance, cases=2, rounds=5),
    "everything": Scenario("all at random", everything, 3, 3, Setting(mix=Mix(poison=0.05)), settle_seconds=180),
}
