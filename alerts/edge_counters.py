"""What the edge itself counts: requests by its own, unsampled metrics, which come by another way than the spans.

``http.server.request.duration`` of components of the tier ``edge`` (OpenTelemetry semantic conventions, HTTP metrics), and
Envoy's own ``http.downstream_rq_total``, out of ``metric_points``. A place whose edge sends no points at all is not in the
answer: nobody knows, which is not the same as 0.
What a sender sends twice (a retry) of a cumulative series counts once.
"""

from collections.abc import Mapping
from typing import Final

from telemetry.store.base import Store
from telemetry.store.tables import METRIC_POINTS
from telemetry.vocabulary import ENVOY_LISTENER, ENVOY_REQUESTS, SERVER_DURATION, Tier

LOOK_BACK_SECONDS: Final = 600
"""So old may the last point before the time asked for be, from which a series rises."""

_COUNT: Final = "if(metric = {envoy:String}, toUInt64(value), count)"
_IN: Final = "time > toDateTime({from:Int64}, 'UTC')"
# Of a cumulative series its rise: from its last point before the time asked for, from 0 if it began in it, else from its first
# point. A restart is another series, by its start.
_RISE: Final = (
    f"greatest(0, multiIf(temporality = 'delta', toFloat64(sumIf(n, {_IN})), "
    f"countIf(NOT ({_IN})) > 0, toFloat64(maxIf(n, {_IN})) - toFloat64(maxIf(n, NOT ({_IN}))), "
    "start_time >= toDateTime({from:Int64}, 'UTC'), toFloat64(max(n)), toFloat64(max(n)) - toFloat64(min(n))))"
)
_POINTS: Final = (
    f"SELECT *, {_COUNT} AS n FROM {METRIC_POINTS} WHERE metric IN ({{duration:String}}, {{envoy:String}}) "  # noqa: S608
    "AND tier = {tier:String} AND flags = 0 AND attributes[{listener:String}] != 'admin' "
    "AND time > toDateTime({before:Int64}, 'UTC') AND time <= toDateTime({to:Int64}, 'UTC')"
)
_SQL: Final = (
    f"SELECT environment, pop, sum(rise) FROM (SELECT environment, pop, {_RISE} AS rise FROM ({_POINTS}) "  # noqa: S608
    "GROUP BY metric, environment, pop, component, instance, toString(attributes), start_time, temporality "
    f"HAVING countIf({_IN}) > 0) GROUP BY environment, pop"
)


class EdgeCounters:
    """A :data:`alerts.sight.Counters` out of ``metric_points``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, start: float, end: float) -> Mapping[tuple[str, str], float] | None:
        """Requests from ``start`` to ``end`` by environment and PoP; None if no edge sent any point.

        Raises:
            StoreError: ClickHouse refused it.
            UnavailableError: ClickHouse does not answer.
        """
        given: dict[str, str | int] = {
            "duration": SERVER_DURATION, "envoy": ENVOY_REQUESTS, "listener": ENVOY_LISTENER, "tier": Tier.EDGE.value,
            "from": int(start), "to": int(end),
            "before": int(start) - LOOK_BACK_SECONDS,
        }  # fmt: skip
        rows = self._store.query(_SQL, given).rows
        return {(str(e), str(p)): float(n) for e, p, n in rows} or None
