"""Writers on a simulated server: each step of each of them is the test's to allow, lose, delay or end."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from telemetry.blocklog.model import Block, Head, Lease, Missing
from telemetry.blocklog.protocol import BlockLog, LogTables
from telemetry.errors import FencedError, UnavailableError
from tests.support.log_simulation import Pending, Replay, Request, Row, Server, Statement

ANSWERS = ("ok", "request lost", "answer lost", "in flight", "waits", "cut short", "torn", "torn later")
"""What may become of an insert: all is well; it never arrives; it lands but nobody says so; it has started and lands later; it
starts later; the server fails between two tables of a feed; the server is killed when it knows the token of the first table, or
of a later one, and has not the rows."""


TORN = 3
"""How often a server is killed at that very place. Who takes over tries only so many numbers, and who mends so many tokens."""


@dataclass
class Writer:
    """A process that has (or believes to have) one partition.

    Attributes:
        partition: which.
        process: names the process; no other one ever has this name.
        lease: what it got by its last take-over.
        block: what it has to append; None if it has nothing.
        busy: what it is doing: "", "take over" or "append".
        script: the answers it got so far.
    """

    partition: int
    process: str
    log: BlockLog
    lease: Lease | None = None
    block: Block | None = None
    busy: str = ""
    script: list[object] = field(default_factory=list)
    name: str = ""
    before: tuple[dict[str, int], int] = field(default_factory=lambda: ({}, 0))


class World:
    """A server, its writers, what is in flight, and what was promised to whom."""

    def __init__(
        self, replay: Callable[[list[object], str], LogTables] = Replay, log: Callable[..., BlockLog] = BlockLog
    ) -> None:
        self.server = Server(landed=self._landed)
        self.flying: list[Statement] = []
        self.waiting: list[Request] = []
        self.acknowledged: dict[tuple[int, int], str] = {}  # (row's id, partition) -> what it feeds
        self.disowned: set[int] = set()  # ids of blocks that came back with FencedError
        self.undecided: set[tuple[int, int, str]] = set()
        self.expired: set[int] = set()  # ids whose rows of the log are gone
        self.logged: dict[int, Row] = {}
        self._replay, self._log = replay, log
        self._numbers, self._processes = itertools.count(1), itertools.count(1)
        self._torn = 0

    def new_writer(self, partition: int) -> Writer:
        """A process that knows nothing."""
        process = f"p{next(self._processes)}"
        return Writer(partition, process, self._log(self._replay([], process)))

    def begin(self, writer: Writer, *feeds: str) -> None:
        """Take over if it has no lease; else append the block that it has, or a new one of rows that feed these tables."""
        writer.script = []
        writer.before = (dict(writer.log._tried), writer.log.stale_takeovers)
        if writer.lease is None:
            writer.busy, writer.name = "take over", f"w{next(self._numbers)}"
            return
        writer.busy = "append"
        if writer.block is None:
            rows = [f"{next(self._numbers)}:{table}" for table in feeds]
            number = writer.lease.next_number
            writer.block = Block(
                *(writer.partition, number, writer.lease.writer, (), " ".join(rows).encode(), len(rows)),
                frozenset(feeds),
            )

    def pending(self, writer: Writer) -> Request | None:
        """What the writer waits for; None if it is done (then its state is what came of it)."""
        log = writer.log
        log._tables = self._replay(writer.script, writer.process)
        log._tried, log.stale_takeovers = dict(writer.before[0]), writer.before[1]
        log._new_writer = lambda: writer.name
        try:
            if writer.busy == "take over":
                writer.lease = log.take_over(writer.partition)
            else:
                assert writer.block is not None
                log.append(writer.block)
                self._acknowledge(writer)
        except Pending as waits:
            return waits.request
        except FencedError as error:
            assert writer.block is not None
            if "unknown" not in str(error):  # else the log has expired over its sleep: it cannot know what became of it
                self.disowned |= {int(part.partition(":")[0]) for part in bytes(writer.block.arrow).decode().split()}
            writer.lease = writer.block = None
        except UnavailableError:
            pass  # comes again with the same block, or takes over anew
        writer.busy = ""
        return None

    def answer(self, writer: Writer, how: str) -> None:
        """Answer what the writer waits for."""
        request = self.pending(writer)
        assert request is not None
        lost = UnavailableError("no answer")
        if request.answer is not None:
            answer: object = request.answer(self.server) if how == "ok" else lost
            if isinstance(answer, Missing) and answer.parts and answer.too_old:
                head = self.server.head(request.partition)
                self.undecided.add((request.partition, head.number, head.writer))
            writer.script.append(answer)
        else:
            self._insert(request, how)
            writer.script.append(None if how == "ok" else lost)
        self.pending(writer)

    def finish(self, writer: Writer) -> None:
        """Answer everything well until the writer is done."""
        while writer.busy and self.pending(writer) is not None:
            self.answer(writer, "ok")

    def lose(self, writer: Writer) -> None:
        """The feed takes the partition away from a process: it forgets what it has of it, and may get it again."""
        writer.busy, writer.lease, writer.block = "", None, None

    def do(self, writer: Writer, *how: str, feeds: tuple[str, ...] = ("request_paths",)) -> None:
        """Begin the next thing if nothing is begun, and answer its inserts so (reads are well); then all is well to its end."""
        if not writer.busy:
            self.begin(writer, *feeds)
        left = list(how)
        while writer.busy and (request := self.pending(writer)) is not None:
            self.answer(writer, "ok" if request.answer is not None or not left else left.pop(0))

    def until(self, writer: Writer, name: str, feeds: tuple[str, ...] = ("request_paths",)) -> None:
        """Let it go on until it is about to send what is called so: there it falls asleep."""
        if not writer.busy:
            self.begin(writer, *feeds)
        while (request := self.pending(writer)) is not None and request.name != name:
            self.answer(writer, "ok")

    def settle(self) -> None:
        """What waits arrives, what flies lands."""
        while self.waiting:
            if statement := self.server.start(self.waiting.pop(0)):
                self.flying.append(statement)
        while self.flying:
            if not self.server.land(self.flying[0]):
                self.flying.pop(0)

    def rest(self, *partitions: int) -> None:
        """All comes to rest: a new process takes each partition over, and what was logged is in every table."""
        self.settle()
        for partition in partitions:
            last = self.new_writer(partition)
            for _ in range(6):
                self.do(last)
                if last.lease is not None and last.lease.next_number > 2 and last.block is None and last.log._tried:
                    break
            else:
                raise AssertionError("a process that nobody disturbs cannot append")
        self.check()

    def kill(self) -> None:
        """The server is killed and started again."""
        self.flying.clear()
        self.server.die()

    def expire(self, partition: int) -> None:
        """The log's rows are as old as they get."""
        self.expired |= {r.id for r in self.server.log.rows if r.partition == partition}
        self.server.log.rows = [r for r in self.server.log.rows if r.partition != partition]

    def _insert(self, request: Request, how: str) -> None:
        if how in ("ok", "answer lost"):
            self.server.run(request)
        elif how == "waits":
            self.waiting.append(request)
        elif how in ("in flight", "cut short"):
            statement = self.server.start(request)
            if statement and how == "in flight":
                self.flying.append(statement)
            elif statement:
                self.server.land(statement)
        elif how in ("torn", "torn later"):
            self._torn += 1
            if (statement := self.server.start(request)) and self._torn <= TORN:
                if how == "torn later" and len(statement.targets) > 1:
                    self.server.land(statement)
                if statement.targets:
                    self.server.land(statement, torn=True)
            self.kill()

    def _acknowledge(self, writer: Writer) -> None:
        assert writer.block is not None
        assert writer.lease is not None
        for part in bytes(writer.block.arrow).decode().split():
            id_, _, feeds = part.partition(":")
            self.acknowledged[int(id_), writer.partition] = feeds
        writer.lease = Lease(writer.partition, writer.lease.writer, writer.lease.next_number + 1)
        writer.block = None

    def _landed(self, rows: list[Row], before: Head) -> None:
        """A block has landed in the log: it follows the head, and only a fence may be by another writer."""
        first = rows[0]
        assert first.number > before.number, f"block {first.number} landed behind {before.number}"
        if first.feeds:
            assert (first.number - 1, first.writer) == (before.number, before.writer), f"{first} landed behind {before}"
        for row in rows:
            if row.feeds:
                assert row.id not in self.logged, f"{row} was logged twice"
                self.logged[row.id] = row

    def check(self) -> None:
        """What must hold at any time."""
        for partition in {r.partition for r in self.server.log.rows if r.partition >= 0} | {0, 1}:
            head = self.server.head(partition)
            self._check_log(partition)
            for name, table in self.server.tables.items():
                found = Counter(r.id for r in table.rows if r.partition == partition)
                assert not found or max(found.values()) == 1, f"{name} has rows twice: {found}"
                base = name if name in ("late_spans", "request_paths") else "request_paths"
                assert all(i in self.logged and self.logged[i].feeds == base for i in found), f"{name} has strangers"
                for row in (r for r in self.logged.values() if r.partition == partition and r.feeds == base):
                    settled = (row.id, partition) in self.acknowledged or row.number < head.number
                    if row.id in self.expired and (row.id, partition) not in self.acknowledged:
                        settled = False
                    if settled and not found[row.id]:
                        excused = (partition, row.number, row.writer) in self.undecided
                        assert excused, f"{name} misses {row}"
        # Who slept for longer than the log keeps its rows cannot know what became of its block.
        assert not self.disowned & (set(self.logged) - self.expired), (
            "a block was logged that its writer was told is not"
        )

    def _check_log(self, partition: int) -> None:
        blocks: dict[int, set[str]] = {}
        for row in self.server.log.rows:
            if row.partition == partition:
                blocks.setdefault(row.number, set()).add(row.writer)
        assert all(len(writers) == 1 for writers in blocks.values()), f"two writers in one block: {blocks}"
        for (id_, of), _feeds in self.acknowledged.items():
            if of == partition:
                assert id_ in self.logged, f"acknowledged row {id_} was never logged"
