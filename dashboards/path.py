"""The request path: in which hop is the time, which hop fails, and what happened to one request?"""

from typing import Final

from grafanalib.core import Panel

from dashboards import colors, hops, panels, variables, waterfall
from dashboards.build import assemble
from dashboards.panels import Json, override

UID: Final = "edgepath-path"
TITLE: Final = "Edgepath: request path"

TO_REQUEST: Final = (
    "/d/edgepath-path?${__url_time_range}&${datasource:queryparam}&${environment:queryparam}&${pop:queryparam}"
    "&${route:queryparam}&${outcome:queryparam}&var-trace=${__value.raw:percentencode}"
)
GAUGE: Final[Json] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}


def _colors() -> dict[str, str]:
    return {
        f"{tier} {word}": color
        for tier, shades in colors.TIERS.items()
        for (word, _), color in zip(hops.PARTS, shades, strict=True)
    }


def dashboard() -> Json:
    """The dashboard, as Grafana reads it."""
    return assemble(
        UID,
        TITLE,
        "In which hop is the time, which hop fails, and what happened to one request? The outcome narrows the lists of "
        "requests; the panels by hop show all requests of the chosen PoPs and routes.",
        [
            variables.column("environment", "Environment"),
            variables.column("pop", "PoP"),
            variables.column("route", "Route"),
            variables.outcome(),
            variables.trace(),
        ],
        [*_by_hop(), *_requests(), *_one_request()],
    )


def _by_hop() -> list[Panel]:
    return [
        panels.row("All requests, by hop", 0),
        panels.timeseries(
            "Time by hop",
            "Mean time of a request, stacked by tier: its own (self), on the wire to the next hop (network), and lost in "
            "attempts that did not answer (retry). The layer that grows is where to look.",
            hops.time_by_hop(),
            (0, 1, 16, 10),
            unit="ns",
            label="part",
            colors=_colors(),
            stacked=True,
            legend="right",
        ),
        panels.bar_gauge(
            "Time added by tier",
            "Mean time a request that each tier adds by itself, over the whole range. Compare with a quiet day's.",
            hops.time_by_tier(),
            (16, 1, 8, 10),
            unit="ns",
            color=colors.BLUE,
        ),
        panels.table(
            "Hops",
            "Each component on the way. The share it answered with an error counts its own errors and those passed on, 4xx "
            "included; blamed is the share that failed (edge_error, api_error, timeout) and went wrong here. Errors without "
            "blame: it only passes on.",
            hops.hop_table(),
            (0, 11, 24, 8),
            overrides=[
                override("Tier", custom_width=100),
                override("PoP", custom_width=110),
                override("Requests", unit="short", decimals=1, custom_width=100),
                override("Self p50", unit="ns", decimals=1, custom_width=110),
                override(
                    "Self p99",
                    unit="ns",
                    decimals=1,
                    min=0,
                    custom_cellOptions=GAUGE,
                    color=panels.fixed(colors.BLUE),
                    custom_width=190,
                ),
                override("Network p99", unit="ns", decimals=1, custom_width=120),
                override("Attempts", unit="none", decimals=3, custom_width=100),
                override("Answered with an error", unit="percentunit", decimals=2, custom_width=170),
                override(
                    "Blamed",
                    unit="percentunit",
                    decimals=2,
                    min=0,
                    custom_cellOptions=GAUGE,
                    color=panels.fixed(colors.RED),
                    custom_width=190,
                ),
            ],
        ),
    ]


def _request_columns() -> list[Json]:
    return [
        override("Time", unit="time:HH:mm:ss", custom_width=75),
        override(
            "Trace",
            links=[{"title": "Waterfall of ${__value.raw}", "url": TO_REQUEST}],
            custom_width=110,
        ),
        override("PoP", custom_width=60),
        override("Outcome", mappings=[_outcome_colors()], custom_cellOptions={"type": "color-text"}, custom_width=105),
        override("Edge time", unit="ns", decimals=1, custom_width=85),
        override("Total", unit="ns", decimals=1, custom_width=85),
    ]


def _outcome_colors() -> Json:
    return {
        "type": "value",
        "options": {
            str(outcome): {"text": str(outcome), "color": color, "index": i}
            for i, (outcome, color) in enumerate(colors.OUTCOMES.items())
        },
    }


def _requests() -> list[Panel]:
    return [
        panels.row("Requests", 19),
        panels.table(
            "Slowest requests",
            "The requests with the longest edge time in the range. A trace id opens that request's waterfall below.",
            hops.slowest_requests(),
            (0, 20, 12, 10),
            overrides=_request_columns(),
        ),
        panels.table(
            "Newest failed requests",
            "The newest requests that ended as edge_error, api_error or timeout, with the reason seen at the blamed hop. "
            "A trace id opens that request's waterfall below.",
            hops.failed_requests(),
            (12, 20, 12, 10),
            overrides=_request_columns(),
        ),
    ]


def _one_request() -> list[Panel]:
    ns = {"unit": "ns", "decimals": 1, "custom_width": 100}
    return [
        panels.row("One request", 30),
        panels.table(
            "Request",
            "The request of the trace id above, or the slowest of the range while that is empty: what it asked, how it "
            "ended, and where its time went.",
            waterfall.request_line(),
            (0, 31, 24, 3),
            overrides=[
                override("Time", unit="time:HH:mm:ss.SSS", custom_width=115),
                override("Trace", custom_width=290),
                override("PoP", custom_width=60),
                override("Status", unit="none", custom_width=65),
                override(
                    "Outcome", mappings=[_outcome_colors()], custom_cellOptions={"type": "color-text"}, custom_width=105
                ),
                *(override(name, **ns) for name in ("Total", "Edge", "Network", "Retries", "API")),
                override("Complete", custom_width=90),
            ],
        ),
        panels.stacked_bars(
            "Waterfall",
            "The way of one request, a bar a hop from its first to its last nanosecond; offsets are corrected for clocks that "
            "differ. Bright is time spent in that hop and on the wire to the next, dim is waiting for the next.",
            waterfall.waterfall(),
            (0, 34, 24, 8),
            unit="ns",
            colors={
                waterfall.RETRIES: colors.AMBER,
                waterfall.GOING_IN: colors.BLUE,
                waterfall.BELOW: "#343c4a",
                waterfall.COMING_BACK: "#7fb0ea",
            },
            unseen=waterfall.START,
        ),
        panels.table(
            "Hops of the request",
            "What is known of each hop: status, proxy flags, error, and how its time splits. Self + network + retries of "
            "all hops + unattributed is exactly the total.",
            waterfall.request_hops(),
            (0, 42, 24, 7),
            overrides=[
                override("Tier", custom_width=100),
                override("Status", unit="none", custom_width=70),
                *(
                    override(name, unit="ns", decimals=2, custom_width=110)
                    for name in ("Duration", "Self", "Network", "Retries", "Unattributed")
                ),
            ],
        ),
    ]
