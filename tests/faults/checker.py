"""What is stored against what was sent: lost, doubled, different; roll-ups, late spans and the log of blocks besides."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alerts.slos import Slo
from telemetry.blocklog.model import NUMBERS_PER_TABLE_PARTITION
from telemetry.feeds.otlp.redaction import scrub
from telemetry.store.base import Store
from telemetry.store.tables import LATE_SPANS, REQUEST_PATHS
from tests.faults.recount import all_counts, differences
from tests.faults.traffic import Sent
from tests.faults.workload import Trace
from tests.support.compare import row_of

_SHOWN: Final = 12
_NOT_COMPARED: Final = (
    "trace_id",
    "trace_hex",
    "start",
    "client_hash",
)  # the hash of an address is the engine's affair
PATH_LOG: Final = "path_log"
CORRECTIONS: Final = "corrections"


@dataclass
class Verdict:
    """What a check found. Traces are named by their ids in hex.

    Attributes:
        checked: how many paths should be there.
        lost: traces without a path.
        doubled: traces with more than one path, or with rows that do not cancel.
        different: what else is wrong, a line each.
        late: late spans that are stored.
        restated: paths that have a later version.
    """

    checked: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    late: int = 0
    restated: int = 0

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return not (self.lost or self.doubled or self.different)

    def lines(self) -> Iterator[str]:
        """What is wrong, for people."""
        for word, found in (("lost", self.lost), ("doubled", self.doubled), ("different", self.different)):
            for line in found[:_SHOWN]:
                yield f"{word}: {line}"
            if len(found) > _SHOWN:
                yield f"{word}: and {len(found) - _SHOWN} more"


def check(store: Store, sent: Sent, slos: Sequence[Slo]) -> Verdict:
    """Compare everything.

    Raises:
        StoreError, UnavailableError: ClickHouse refuses or does not answer.
    """
    verdict = Verdict(checked=len(sent.traces))
    expected = {trace_id.hex(): trace for trace_id, trace in sent.traces.items()}
    _check_paths(store, expected, verdict)
    for counts in all_counts(slos):
        verdict.different += differences(store, counts)
    _check_late(store, expected, {trace_id.hex() for trace_id in sent.retried}, verdict)
    _check_log(store, verdict)
    return verdict


def arrived(store: Store) -> tuple[int, int]:
    """How many paths are stored, and of how many spans they were made: cheap, to be asked often."""
    rows = store.query(f"SELECT sum(sign), sum(sign * toInt64(spans)) FROM {REQUEST_PATHS}").rows
    return int(rows[0][0]), int(rows[0][1])


def _check_paths(store: Store, expected: Mapping[str, Trace], verdict: Verdict) -> None:
    net = store.query(f"SELECT trace_hex, sum(sign) FROM {REQUEST_PATHS} GROUP BY trace_hex").rows
    for trace, rows in net:
        if rows > 1:
            verdict.doubled.append(f"{trace}: {rows} rows more with + than with -")
        elif rows < 1:
            verdict.different.append(f"{trace}: its rows with + and with - add up to {rows}")
    names = (
        [name for name in row_of(next(iter(expected.values())).path) if name not in _NOT_COMPARED] if expected else []
    )
    columns = ", ".join(f"`{name}`" for name in names)
    rows = store.query(
        f"SELECT trace_hex, version, toUnixTimestamp64Nano(start), {columns} FROM {REQUEST_PATHS} FINAL WHERE sign = 1"
    ).rows
    seen: Counter[str] = Counter()
    for trace, version, start, *values in rows:
        seen[trace] += 1
        verdict.restated += version > 1
        if trace not in expected:
            verdict.different.append(f"{trace}: nobody sent such a trace")
            continue
        wanted = {"start": expected[trace].path.start_ns, **row_of(expected[trace].path)}
        wanted["start"] = expected[trace].path.start_ns
        have = {"start": start, **dict(zip(names, values, strict=True))}
        wrong = [f"{name} is {have[name]!r}, not {wanted[name]!r}" for name in have if have[name] != wanted[name]]
        if wrong:
            verdict.different.append(f"{trace} (version {version}): {'; '.join(wrong)}")
    verdict.doubled += [f"{trace}: {count} paths by FINAL" for trace, count in seen.items() if count > 1]
    verdict.lost += sorted(expected.keys() - seen.keys())


def _check_late(store: Store, expected: Mapping[str, Trace], retried: set[str], verdict: Verdict) -> None:
    """Each span contributed to the first version, or is among the late ones, once."""
    late: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for trace, span, partition, offset in store.query(
        f"SELECT trace_hex, span_id, partition, last_offset FROM {LATE_SPANS}"
    ).rows:
        late[trace].append((span, partition, offset))
    verdict.late = sum(map(len, late.values()))
    for trace, spans in late.items():
        verdict.doubled += [f"{trace}: late span {one[0]:016x} {n} times" for one, n in Counter(spans).items() if n > 1]
    first = dict(
        store.query(
            f"SELECT lower(hex(trace_id)), spans FROM {PATH_LOG} WHERE kind = 'path' AND sign = 1 AND version = 1"
        ).rows
    )
    for trace, one in expected.items():
        have = first.get(trace, 0) + len({span for span, _, _ in late[trace]})
        copied = one.copied or trace in retried
        if trace in first and (have < one.path.spans or (have > one.path.spans and not copied)):
            verdict.different.append(
                f"{trace}: {first[trace]} spans at first and {len(late[trace])} late ones, of {one.path.spans}"
            )


def _check_log(store: Store, verdict: Verdict) -> None:
    """The log of blocks: numbers without holes, one writer each, every row once; the ledger says what was restated."""
    # Where a number's token is spent and its rows are not there, the next number is the first of a table partition.
    for partition, before, number in store.query(
        "SELECT partition, before, block FROM (SELECT partition, block, lagInFrame(block, 1, 0) OVER (PARTITION BY partition "
        f"ORDER BY block) AS before FROM (SELECT DISTINCT partition, block FROM {PATH_LOG})) "
        f"WHERE block != before + 1 AND block % {NUMBERS_PER_TABLE_PARTITION} != 0"
    ).rows:
        verdict.different.append(f"{PATH_LOG}: partition {partition} has no block between {before} and {number}")
    for partition, block, writers in store.query(
        f"SELECT partition, block, uniqExact(writer) AS writers FROM {PATH_LOG} GROUP BY partition, block HAVING writers > 1"
    ).rows:
        verdict.different.append(f"{PATH_LOG}: block {block} of partition {partition} has {writers} writers")
    for trace, version, sign, count in store.query(
        f"SELECT lower(hex(trace_id)) AS trace, version, sign, count() AS rows FROM {PATH_LOG} WHERE kind = 'path' "
        "GROUP BY trace, version, sign HAVING rows > 1"
    ).rows:
        where = store.query(
            f"SELECT DISTINCT partition, block, writer, last_offset, toString(stored) FROM {PATH_LOG} "
            "WHERE lower(hex(trace_id)) = {trace:String} ORDER BY block",
            {"trace": trace},
        ).rows
        verdict.doubled.append(f"{trace}: version {version} with sign {sign} {count} times in {PATH_LOG}: {where}")
    newest = dict(
        store.query(f"SELECT trace_hex, version FROM {REQUEST_PATHS} FINAL WHERE sign = 1 AND version > 1").rows
    )
    told: dict[str, list[int]] = defaultdict(list)
    for trace, version in store.query(f"SELECT lower(hex(trace_id)), version FROM {CORRECTIONS}").rows:
        told[trace].append(version)
    for trace in told.keys() | newest.keys():
        if sorted(told[trace]) != list(range(2, newest.get(trace, 1) + 1)):
            verdict.different.append(
                f"{trace}: version {newest.get(trace, 1)}, and {CORRECTIONS} has the versions {sorted(told[trace])}"
            )


def missing_poison(sent: Sent, dead: Iterable[bytes]) -> list[str]:
    """One line for each bad message that is not among the dead letters; what looks like a secret is masked there."""
    there = set(dead)
    return [f"poison {value[:20].hex()}... was not put aside" for value in sent.poison if scrub(value) not in there]
