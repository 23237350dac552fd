"""Who is to blame for the bad paths of a window: one query on ``request_paths``."""

from dataclasses import asdict, dataclass
from typing import Any

from alerts.groups import paths_sql
from alerts.sli_reads import Group
from alerts.sli_views import END_SECONDS, MAX_DURATION_SECONDS
from alerts.slos.model import Slo
from telemetry.store.base import Store
from telemetry.store.tables import REQUEST_PATHS, holds
from telemetry.vocabulary import Tier

EXAMPLES = 3
LIMIT = 10


@dataclass(frozen=True)
class Blame:
    """A place and a reason with the bad requests they are blamed for.

    Attributes:
        tier, component, pop, reason: as in ``request_paths``; of a slow path that did not fail, the hop (short of the API)
            that took longest, with the reason ``slow``.
        requests: weighted by sampling.
        paths: stored rows that hold.
    """

    tier: str
    component: str
    pop: str
    reason: str
    requests: float
    paths: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def blame(store: Store, slo: Slo, group: Group, start: float, end: float) -> tuple[list[Blame], list[str]]:
    """The blamed places of the bad paths of ``group`` that ended in ``[start, end)``, the worst first, and example traces.

    Returns:
        At most :data:`LIMIT` places, and at most :data:`EXAMPLES` trace ids (hex) of the worst place.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    buckets = "bucket >= toDateTime({from:Int64}, 'UTC') AND bucket < toDateTime({to:Int64}, 'UTC')"
    split = paths_sql(slo, group.value, buckets)
    within = (
        "start >= fromUnixTimestamp64Milli({earliest:Int64}, 'UTC') "
        "AND start < fromUnixTimestamp64Milli({to:Int64} * 1000, 'UTC')"
    )
    sql = (
        "WITH arrayMap((t, s, r, n) -> if(t = {api:String}, 0, s + r + n), p.hops.tier, p.hops.self_ns, p.hops.retry_ns,"  # noqa: S608
        " p.hops.network_ns) AS spent, indexOf(spent, arrayMax(spent)) AS longest, p.blamed_tier = '' AS slow "
        "SELECT if(slow, p.hops.tier[longest], p.blamed_tier) AS tier, "
        "if(slow, p.hops.component[longest], p.blamed_component) AS component, "
        "if(slow, p.hops.pop[longest], p.blamed_pop) AS place, "
        "if(slow, 'slow', p.blame_reason) AS reason, sum(p.weight) AS requests, toInt64(count()) AS paths, "
        f"groupArray({EXAMPLES})(lower(hex(p.trace_id))) AS traces FROM {REQUEST_PATHS} AS p "
        f"WHERE {within} AND {holds(within, 'p')} "
        f"AND {END_SECONDS} >= {{from:Int64}} AND {END_SECONDS} < {{to:Int64}} "
        f"AND p.environment = {{environment:String}} {split}AND {slo.bad_sql()} "
        f"GROUP BY tier, component, place, reason ORDER BY requests DESC, tier, component, place, reason LIMIT {LIMIT}"
    )
    parameters: dict[str, str | int] = {
        "api": Tier.API.value,
        "earliest": (int(start) - MAX_DURATION_SECONDS) * 1000,
        "from": int(start),
        "to": int(end),
        "environment": group.environment,
    }
    if slo.group_by:
        parameters["value"] = group.value
    rows = store.query(sql, parameters).rows
    places = [Blame(str(t), str(c), str(p), str(r), float(n), int(k)) for t, c, p, r, n, k, _ in rows]
    return places, [str(trace) for trace in rows[0][6]] if rows else []
