"""The SQL of the panels about one request: the variable ``trace``, or the slowest of the range while it is empty.

A request is looked for in the chosen time range only: that, and the bloom index, keep the search short in a month of data.
"""

# ruff: noqa: S608 - the parts of these statements are constants of this package; what a reader chooses is quoted

from typing import Final

from dashboards.queries import IN_RANGE, PLACE_AND_OUTCOME
from telemetry.store.tables import REQUEST_PATHS, holds

START, RETRIES, GOING_IN, BELOW, COMING_BACK = (
    "Start",
    "Retries",
    "Here, going in",
    "In the next hop",
    "Here, coming back",
)
"""The segments of a hop's bar, in order of time; the first is only an offset and is drawn without colour."""

_TRACE: Final = "${trace:singlequote}"
_SLOWEST: Final = (
    f"(SELECT trace_id FROM {REQUEST_PATHS} WHERE {_TRACE} = '' AND {IN_RANGE} AND {holds(IN_RANGE)} "
    f"AND {PLACE_AND_OUTCOME} ORDER BY edge_ns DESC LIMIT 1)"
)
_GIVEN: Final = f"toFixedString(substring(unhex(replaceRegexpAll({_TRACE}, '[^0-9a-fA-F]', '')), 1, 16), 16)"
_CHOSEN: Final = f"{IN_RANGE} AND sign = 1 AND trace_id = if({_TRACE} = '', {_SLOWEST}, {_GIVEN})"


def request_line() -> str:
    """The request in one row: what it asked, how it ended, where its time went."""
    return (
        'SELECT start AS "Time", trace_hex AS "Trace", concat(method, \' \', route) AS "Request", pop AS "PoP", '
        'status AS "Status", outcome AS "Outcome", '
        "concat(blamed_tier, if(blamed_component = '', '', concat(' · ', blamed_component)), "
        "if(blame_reason = '', '', concat(': ', blame_reason))) AS \"Blamed\", "
        'total_ns AS "Total", edge_ns AS "Edge", network_ns AS "Network", retry_ns AS "Retries", api_ns AS "API", '
        "if(complete, 'yes', arrayStringConcat(gaps, ', ')) AS \"Complete\"\n"
        f"FROM {REQUEST_PATHS} FINAL WHERE {_CHOSEN} LIMIT 1"
    )


def waterfall() -> str:
    """One row a hop, first to last: its label and the lengths of the segments of its bar, in nanoseconds."""
    return (
        f'SELECT label AS "Hop", at AS "{START}", least(retry, before) AS "{RETRIES}", '
        f'before - least(retry, before) AS "{GOING_IN}", below AS "{BELOW}", '
        f'greatest(0, duration - before - below) AS "{COMING_BACK}" FROM (\n'
        f"  SELECT label, at, duration, retry, if(last, duration, least(duration, greatest(0, next_at - at))) AS before, "
        f"if(last, 0, least(next_duration, duration - before)) AS below FROM (\n"
        f"    SELECT arrayJoin(arrayEnumerate(hops.tier)) AS i, i = length(hops.tier) AS last,\n"
        f"      hops.offset_ns[i] - arrayMin(hops.offset_ns) AS at, "
        f"hops.offset_ns[i + 1] - arrayMin(hops.offset_ns) AS next_at,\n"
        f"      toInt64(hops.duration_ns[i]) AS duration, toInt64(hops.duration_ns[i + 1]) AS next_duration, "
        f"toInt64(hops.retry_ns[i]) AS retry,\n"
        f"      concat(toString(i), ' ', hops.tier[i], ' · ', hops.component[i], "
        f"if(hops.failed[i], concat(' ✗ ', toString(hops.status[i]), ' ', hops.flags[i]), '')) AS label\n"
        f"    FROM (SELECT hops.tier, hops.component, hops.offset_ns, hops.duration_ns, hops.retry_ns, hops.failed, "
        f"hops.status, hops.flags FROM {REQUEST_PATHS} FINAL WHERE {_CHOSEN} LIMIT 1)\n"
        f"  )\n) ORDER BY at, label"
    )


def request_hops() -> str:
    """One row a hop of the request, with everything that is known of it."""
    return (
        'SELECT hops.tier AS "Tier", hops.component AS "Component", hops.pop AS "PoP", hops.status AS "Status", '
        'hops.flags AS "Flags", hops.error AS "Error", hops.attempts AS "Attempts", hops.duration_ns AS "Duration", '
        'hops.self_ns AS "Self", hops.network_ns AS "Network", hops.retry_ns AS "Retries", '
        'hops.unattributed_ns AS "Unattributed"\n'
        f"FROM (SELECT * FROM {REQUEST_PATHS} FINAL WHERE {_CHOSEN} LIMIT 1) ARRAY JOIN hops"
    )
