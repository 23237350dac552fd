"""ClickHouse's deduplication, simulated for the block log: statements that wait, are lost, stall half-way, land late.

What is simulated was measured on real servers (``tests/real/test_deduplication.py`` has each rule as a test): tokens are
remembered per table partition, as many as the table's window; the first with a token counts; each target of a feed's views
deduplicates by itself; a guard is evaluated when a statement starts, which may be long before it lands; an insert of no rows
leaves no token; a server that is killed may know a token and not have the rows. ClickHouse ends a statement that takes too
long: here, when :data:`LIFE` blocks came in since it started.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from telemetry.blocklog.model import Block, Head, Logged, Missing, drive_token, log_token, mend_token

PER_TABLE_PARTITION = 10_000
LIFE, STALE, WINDOW = 4, 5, 16
"""In blocks of a table: how long a statement lives, how long a token is trusted to be remembered, and how long it is. As in the
real tables, the last is longer than the other two together, and a block of every partition besides."""
TABLES = ("late_spans", "request_paths")
FEED = ("hop_1m", "path_1m", "request_paths")
"""What views fill when ``request_paths`` is driven, in this order."""
ROLL_UPS = ("hop_1m", "path_1m")


def parts(table: str) -> tuple[str, ...]:
    """The tables that a drive of a derived table fills."""
    return FEED if table == "request_paths" else (table,)


@dataclass(frozen=True)
class Row:
    """A row of the log: what a path or a span is in the real one."""

    id: int
    feeds: str  # the derived table, empty for a fence
    partition: int
    number: int
    writer: str
    stored: int


@dataclass
class Table:
    """Rows, and the tokens of the latest blocks."""

    rows: list[Row] = field(default_factory=list)
    blocks: int = 0
    tokens: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def insert(self, token: str, rows: list[Row], *, torn: bool = False) -> bool:
        """Whether the rows are in now because of this; ``torn``: its token is, and they are not."""
        if not rows:
            return False
        key = (rows[0].number // PER_TABLE_PARTITION, token)
        if key in self.tokens:
            return False
        self.tokens.append(key)
        self.blocks += 1
        if not torn:
            self.rows += rows
        return not torn

    def spend(self, token: str) -> None:
        """A block of somebody else's."""
        self.tokens.append((0, token))
        self.blocks += 1


@dataclass
class Statement:
    """An insert that has started: its rows are chosen, its guard has held.

    Attributes:
        targets: the tables that it fills, those that are still to come.
        born: how many blocks the log had when it started.
    """

    token: str
    rows: list[Row]
    targets: list[str]
    born: int


@dataclass
class Server:
    """All tables. ``landed`` is told of every block that gets into the log; ``started``: when it was started last."""

    log: Table = field(default_factory=Table)
    tables: dict[str, Table] = field(default_factory=lambda: {name: Table() for name in (*TABLES, *ROLL_UPS)})
    clock: int = 0
    started: int = 0
    others: int = 0
    landed: Callable[[list[Row], Head], None] = lambda _rows, _head: None

    def table(self, name: str) -> Table:
        """One of them by its name."""
        return self.log if name == "log" else self.tables[name]

    def head(self, partition: int) -> Head:
        """As ``LogTables.head``."""
        number = max((r.number for r in self.log.rows if r.partition == partition), default=0)
        rows = self.rows_of(partition, number)
        if not rows:
            return Head()
        feeds = frozenset(r.feeds for r in rows if r.feeds)
        return Head(number, rows[0].writer, feeds, rows[0].stored)

    def rows_of(self, partition: int, number: int) -> list[Row]:
        """The log's rows of a block."""
        return [r for r in self.log.rows if (r.partition, r.number) == (partition, number)]

    def logged(self, partition: int, number: int) -> Logged:
        """As ``LogTables.logged``."""
        for row in self.rows_of(partition, number):
            return Logged(row.writer, row.stored <= self.started or not self.remembered(row.stored))
        return Logged()

    def remembered(self, stored: int) -> bool:
        """Whether tokens of blocks that were stored then are trusted to be remembered."""
        written = {(r.partition, r.number) for r in self.log.rows if r.stored >= stored}
        return len(written) <= STALE

    def there(self, name: str, partition: int, head: Head) -> bool:
        """Whether a table has rows of a block: the marks in roll-ups tell."""
        place = (partition, head.number, head.writer)
        return any((r.partition, r.number, r.writer) == place for r in self.tables[name].rows)

    def missing(self, partition: int, head: Head) -> Missing:
        """As ``LogTables.missing``."""
        fresh = self.remembered(head.stored_ms)
        if fresh and head.stored_ms > self.started:
            return Missing()
        absent = (part for table in head.feeds for part in parts(table) if self.absent(part, partition, head))
        return Missing(frozenset(absent), too_old=not fresh)

    def absent(self, part: str, partition: int, head: Head) -> bool:
        """Whether a part of the partition's last block is not where it should be."""
        return self.is_head(partition, head) and not self.there(part, partition, head)

    def is_head(self, partition: int, head: Head) -> bool:
        """Whether a block is the partition's last one."""
        now = self.head(partition)
        return (now.number, now.writer) == (head.number, head.writer)

    def die(self) -> None:
        """It is killed, and started again: what it worked on is gone."""
        self.clock += 1
        self.started = self.clock

    def start(self, request: "Request") -> Statement | None:
        """Evaluate the guard and choose the rows; None if there is nothing to insert."""
        self.clock += 1
        rows = [Row(r.id, r.feeds, r.partition, r.number, r.writer, self.clock) for r in request.rows]
        if request.table != "log":
            rows = [r for r in self.rows_of(request.partition, request.number) if r.feeds == request.table]
        if not request.guard(self) or not rows:
            return None
        targets = [request.part] if request.part else ["log"] if request.table == "log" else list(parts(request.table))
        return Statement(request.token, rows, targets, self.log.blocks)

    def land(self, statement: Statement, *, torn: bool = False) -> bool:
        """Let a statement come one target further; whether it has more to do. Too old, it is ended without effect."""
        if not statement.targets:
            return False
        target = statement.targets.pop(0)
        table = self.table(target)
        if self.log.blocks - statement.born > LIFE:
            statement.targets.clear()
            return False
        before = self.head(statement.rows[0].partition) if target == "log" else Head()
        if table.insert(statement.token, statement.rows, torn=torn) and target == "log":
            self.landed(statement.rows, before)
        return bool(statement.targets)

    def run(self, request: "Request") -> None:
        """Start a statement and let it land wholly."""
        statement = self.start(request)
        while statement and self.land(statement):
            pass

    def pass_blocks(self, count: int) -> None:
        """Other partitions write and drive so many blocks."""
        for _ in range(count):
            self.clock += 1
            self.others += 1
            self.log.insert(f"other {self.others}", [Row(0, "", -1, self.others, "other", self.clock)])
            for table in self.tables.values():
                table.spend(f"other {self.others}")

    def ids(self, name: str, partition: int) -> Counter[int]:
        """How often each row is in a table."""
        return Counter(r.id for r in self.table(name).rows if r.partition == partition and r.feeds)


@dataclass(frozen=True)
class Request:
    """A call of the protocol that the tables have not answered yet.

    ``answer`` of a read gives its answer; an insert has a table, a guard, a token and, for the log, rows; a mend a part.
    """

    name: str
    partition: int
    number: int
    answer: Callable[[Server], object] | None = None
    table: str = ""
    token: str = ""
    guard: Callable[[Server], bool] = lambda _server: True
    rows: tuple[Row, ...] = ()
    part: str = ""


class Pending(BaseException):
    """The protocol waits for the tables to answer ``request``."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.name)
        self.request = request


class Replay:
    """``LogTables`` that give the answers of a script, and raise :class:`Pending` at its end.

    The protocol is plain code that calls and waits. To stop it at every call, it is run again from its beginning with the
    answers that it got so far. ``process`` names whose calls these are; the protocol itself does not know it.
    """

    def __init__(self, script: list[object], process: str = "", topic: str = "t") -> None:
        self.process = process
        self._script: Iterator[object] = iter(list(script))
        self._topic = topic

    def _ask(self, request: Request) -> object:
        try:
            answer = next(self._script)
        except StopIteration:
            raise Pending(request) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def head(self, partition: int) -> Head:
        """As ``LogTables.head``."""
        answer = self._ask(Request("head", partition, 0, lambda server: server.head(partition)))
        assert isinstance(answer, Head)
        return answer

    def logged(self, partition: int, number: int) -> Logged:
        """As ``LogTables.logged``."""
        answer = self._ask(Request("logged", partition, number, lambda server: server.logged(partition, number)))
        assert isinstance(answer, Logged)
        return answer

    def missing(self, partition: int, head: Head) -> Missing:
        """As ``LogTables.missing``."""
        answer = self._ask(Request("missing", partition, head.number, lambda server: server.missing(partition, head)))
        assert isinstance(answer, Missing)
        return answer

    def mend(self, partition: int, head: Head, part: str, turn: int) -> None:
        """As ``LogTables.mend``."""

        def guard(server: Server) -> bool:
            return server.remembered(head.stored_ms) and server.absent(part, partition, head)

        token = mend_token(self._topic, partition, head.number, head.writer, part, turn)
        table = part if part in TABLES else "request_paths"
        self._ask(Request("mend", partition, head.number, None, table, token, guard, part=part))

    def write(self, block: Block, after: str) -> None:
        """As ``LogTables.write``; a block's bytes are its rows' ids and what they feed, as text."""
        rows = []
        for part in bytes(block.arrow).decode().split():
            id_, _, feeds = part.partition(":")
            rows.append(Row(int(id_), feeds, block.partition, block.number, block.writer, 0))
        token = log_token(self._topic, block.partition, block.number, after)
        self._log("write", rows, token, Head(block.number - 1, after))

    def fence(self, partition: int, number: int, writer: str, after: Head) -> None:
        """As ``LogTables.fence``."""
        token = log_token(self._topic, partition, number, after.writer)
        self._log("fence", [Row(0, "", partition, number, writer, 0)], token, after)

    def _log(self, name: str, rows: list[Row], token: str, after: Head) -> None:
        partition, number = rows[0].partition, rows[0].number

        def guard(server: Server) -> bool:
            head = server.head(partition)
            return (head.number, head.writer) == (after.number, after.writer)

        self._ask(Request(name, partition, number, None, "log", token, guard, tuple(rows)))

    def drive(self, partition: int, head: Head, table: str, *, again: bool) -> None:
        """As ``LogTables.drive``."""

        def guard(server: Server) -> bool:
            if not server.is_head(partition, head):
                return False
            if not again:
                return all(server.remembered(row.stored) for row in server.rows_of(partition, head.number))
            there = any(server.there(part, partition, head) for part in parts(table))
            return server.remembered(head.stored_ms) or not there

        token = drive_token(self._topic, partition, head.number, head.writer, table)
        self._ask(Request("drive", partition, head.number, None, table, token, guard))
