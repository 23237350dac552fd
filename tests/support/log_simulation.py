"""ClickHouse's deduplication, simulated for the block log: statements that wait, are lost, stall half-way, land late.

What is simulated was measured on real servers (``tests/real/test_deduplication.py`` has each rule as a test): tokens are
remembered per table partition, as many as the table's window; the first with a token counts; the target of a view
deduplicates by itself; a guard is evaluated when a statement starts, which may be long before it lands; an insert of no rows
leaves no token. ClickHouse ends a statement that takes too long: here, when :data:`LIFE` blocks came in since it started.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from telemetry.blocklog.model import Block, Head, drive_token, log_token

PER_TABLE_PARTITION = 10_000
LIFE, STALE, WINDOW = 4, 5, 16
"""In blocks of a table: how long a statement lives, how long a token is trusted to be remembered, and how long it is. As in the
real tables, the last is longer than the other two together, and a block of every partition besides."""
TABLES = ("late_spans", "request_paths")
VIEWS = ("hop_1m", "path_1m")
"""They hang on ``request_paths``, in this order."""


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

    def insert(self, token: str, rows: list[Row]) -> bool:
        """Whether the rows are in now because of this."""
        if not rows:
            return False
        key = (rows[0].number // PER_TABLE_PARTITION, token)
        if key in self.tokens:
            return False
        self.tokens.append(key)
        self.blocks += 1
        self.rows += rows
        return True

    def spend(self, token: str) -> None:
        """A block of somebody else's."""
        self.tokens.append((0, token))
        self.blocks += 1


@dataclass
class Statement:
    """An insert that has started: its rows are chosen, its guard has held.

    Attributes:
        targets: the table, then the targets of its views; those that are still to come.
        born: how many blocks each had when it started.
    """

    token: str
    rows: list[Row]
    targets: list[str]
    born: dict[str, int]


@dataclass
class Server:
    """All tables. ``landed`` is told of every block that gets into the log."""

    log: Table = field(default_factory=Table)
    tables: dict[str, Table] = field(default_factory=lambda: {name: Table() for name in (*TABLES, *VIEWS)})
    clock: int = 0
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

    def writer_of(self, partition: int, number: int) -> str:
        """As ``LogTables.writer_of``."""
        return next((r.writer for r in self.rows_of(partition, number)), "")

    def remembered(self, stored: int) -> bool:
        """Whether tokens of blocks that were stored then are trusted to be remembered."""
        written = {(r.partition, r.number) for r in self.log.rows if r.stored >= stored}
        return len(written) <= STALE

    def there(self, table: str, partition: int, head: Head) -> bool:
        """Whether a derived table has rows of a block."""
        place = (partition, head.number, head.writer)
        return any((r.partition, r.number, r.writer) == place for r in self.tables[table].rows)

    def start(self, request: "Request") -> Statement | None:
        """Evaluate the guard and choose the rows; None if there is nothing to insert."""
        self.clock += 1
        rows = [Row(r.id, r.feeds, r.partition, r.number, r.writer, self.clock) for r in request.rows]
        if request.table != "log":
            rows = [r for r in self.rows_of(request.partition, request.number) if r.feeds == request.table]
        if not request.guard(self) or not rows:
            return None
        views = list(VIEWS) if request.table == "request_paths" else []
        born = {name: self.table(name).blocks for name in (request.table, *views)}
        return Statement(request.token, rows, [request.table, *views], born)

    def land(self, statement: Statement) -> bool:
        """Let a statement come one target further; whether it has more to do. Too old, it is ended without effect."""
        target = statement.targets.pop(0)
        table = self.table(target)
        if table.blocks - statement.born[target] > LIFE:
            statement.targets.clear()
            return False
        before = self.head(statement.rows[0].partition) if target == "log" else Head()
        if table.insert(statement.token, statement.rows) and target == "log":
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

    ``answer`` of a read gives its answer; an insert has a table, a guard, a token and, for the log, rows.
    """

    name: str
    partition: int
    number: int
    answer: Callable[[Server], object] | None = None
    table: str = ""
    token: str = ""
    guard: Callable[[Server], bool] = lambda _server: True
    rows: tuple[Row, ...] = ()


class Pending(BaseException):
    """The protocol waits for the tables to answer ``request``."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.name)
        self.request = request


class Replay:
    """``LogTables`` that give the answers of a script, and raise :class:`Pending` at its end.

    The protocol is plain code that calls and waits. To stop it at every call, it is run again from its beginning with the
    answers that it got so far.
    """

    def __init__(self, script: list[object], topic: str = "t") -> None:
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

    def writer_of(self, partition: int, number: int) -> str:
        """As ``LogTables.writer_of``."""
        return str(self._ask(Request("writer", partition, number, lambda server: server.writer_of(partition, number))))

    def undecided(self, partition: int, head: Head) -> bool:
        """As ``LogTables.undecided``."""

        def answer(server: Server) -> bool:
            there = any(server.there(table, partition, head) for table in head.feeds)
            return not server.remembered(head.stored_ms) and there

        return bool(self._ask(Request("undecided", partition, head.number, answer)))

    def write(self, block: Block, after: str) -> None:
        """As ``LogTables.write``; a block's bytes are its rows' ids and what they feed, as text."""
        rows = []
        for part in block.arrow.decode().split():
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
            now = server.head(partition)
            if (now.number, now.writer) != (head.number, head.writer):
                return False
            return not again or server.remembered(head.stored_ms) or not server.there(table, partition, head)

        token = drive_token(self._topic, partition, head.number, head.writer, table)
        self._ask(Request("drive", partition, head.number, None, table, token, guard))
