"""The traffic overview: is traffic all right, and if not: since when, where, and who is to blame?"""

from typing import Final

from grafanalib.core import Panel, Table

from dashboards import blame, colors, panels, queries, variables
from dashboards.build import assemble
from dashboards.panels import Json, override

UID: Final = "edgepath-overview"
TITLE: Final = "Edgepath: traffic overview"

SUCCESS_STEPS: Final = ((None, colors.RED), (0.99, colors.AMBER), (0.999, colors.GREEN))
FAILURE_STEPS: Final = ((None, "text"), (0.001, colors.AMBER), (0.01, colors.RED))
REFUSED_STEPS: Final = ((None, "text"), (0.02, colors.AMBER), (0.1, colors.RED))
RETRY_STEPS: Final = ((None, colors.GREEN), (0.05, colors.AMBER), (0.2, colors.RED))
EDGE_STEPS: Final = ((None, colors.GREEN), (100e6, colors.AMBER), (300e6, colors.RED))

TO_PATH: Final = (
    "/d/edgepath-path?${__url_time_range}&${datasource:queryparam}&${environment:queryparam}&${outcome:queryparam}"
)


def _share(steps: panels.Steps) -> Json:
    return {
        "unit": "percentunit",
        "decimals": 2,
        "thresholds": {"mode": "absolute", "steps": panels.thresholds(steps)},
        "custom_cellOptions": {"type": "color-text"},
        "custom_width": 90,
    }


def _place_table(column: str, title: str, description: str, at: tuple[int, int, int, int], other: str) -> Table:
    link = f"{TO_PATH}&${{{other}:queryparam}}&var-{column}=${{__value.raw:percentencode}}"
    return panels.table(
        f"By {title if column == 'pop' else title.lower()}",
        description,
        queries.table_by(column, title),
        at,
        overrides=[
            override(title, links=[{"title": "Request path of ${__value.raw}", "url": link}]),
            override("Requests/s", unit="reqps", custom_width=110),
            override("Failed", **_share(FAILURE_STEPS)),
            override("Refused", **_share(REFUSED_STEPS)),
            override("Retries", unit="none", decimals=3, custom_width=80),
            override("Edge p50", unit="ns", decimals=1, custom_width=100),
            override(
                "Edge p99",
                unit="ns",
                decimals=1,
                min=0,
                custom_cellOptions={"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
                color=panels.fixed(colors.BLUE),
                custom_width=170,
            ),
        ],
    )


def dashboard() -> Json:
    """The dashboard, as Grafana reads it."""
    return assemble(
        UID,
        TITLE,
        "Is traffic all right, and if not: since when, where, and who is to blame? All counts and quantiles are weighted "
        "by the sampling weight, so they speak of requests and not of traces kept.",
        [
            variables.column("environment", "Environment"),
            variables.column("pop", "PoP"),
            variables.column("route", "Route"),
            variables.outcome(),
        ],
        [*_now(), *_over_time(), *_where(), *_why()],
    )


def _now() -> list[Panel]:
    return [
        panels.stat(
            "Request rate",
            "Requests a second over the range, from the first request in it on. A fall that no release explains means that "
            "clients do not reach the edge at all: look at DNS, announcements and the PoP's own uplinks.",
            queries.total(f"n / greatest(1, toUInt32({queries.END}) - first)", "rate"),
            (0, 0, 4, 3),
            unit="reqps",
            steps=((None, colors.BLUE),),
            decimals=1,
        ),
        panels.stat(
            "Success share",
            "Requests that did not end as edge_error, api_error or timeout. Below 99.9 % somebody should be looking already.",
            queries.total("1 - n_failed / n", "success"),
            (4, 0, 4, 3),
            unit="percentunit",
            steps=SUCCESS_STEPS,
            decimals=2,
        ),
        panels.stat(
            "Refused share",
            "Requests throttled (429) or blocked on purpose. A jump is an abusive client, or a limit set too low.",
            queries.total("n_refused / n", "refused"),
            (8, 0, 4, 3),
            unit="percentunit",
            steps=REFUSED_STEPS,
            decimals=2,
        ),
        panels.stat(
            "Edge time p99",
            "Time that everything before the API server adds, for the slowest one in a hundred requests. Rises here while "
            "the API is quick are ours: retries, full connection pools, a slow hop.",
            queries.total(f"q[{queries.P99}]", "edge_p99"),
            (12, 0, 4, 3),
            unit="ns",
            steps=EDGE_STEPS,
            decimals=1,
        ),
        panels.stat(
            "Retries per request",
            "Attempts that did not answer, per request. Retries hide failures from clients and multiply load: when this "
            "rises first, the failure is young.",
            queries.total("n_retries / n", "retries"),
            (16, 0, 4, 3),
            unit="none",
            steps=RETRY_STEPS,
            decimals=3,
        ),
        panels.stat(
            "Complete paths",
            "Paths without a missing hop. When this falls, spans are lost or a component lost its instrumentation: trust "
            "the blame panels less.",
            queries.total("n_complete / n_paths", "complete"),
            (20, 0, 4, 3),
            unit="percentunit",
            steps=SUCCESS_STEPS,
            decimals=2,
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        panels.row("Over time", 3),
        panels.timeseries(
            "Requests by outcome",
            "Requests a second by how they ended, stacked. Shows when it began, how much is hit, and whether requests fail "
            "at the edge, in the API, or are refused on purpose.",
            queries.rate_by("outcome"),
            (0, 4, 12, 9),
            unit="reqps",
            label="outcome",
            colors=colors.OUTCOMES,
            stacked=True,
        ),
        panels.timeseries(
            "Edge time",
            "Total time less the API server's own: what the traffic team adds. p99 alone rising: retries or one bad "
            "component; p50 rising too: everybody waits.",
            queries.edge_quantiles(),
            (12, 4, 12, 9),
            unit="ns",
            colors=colors.QUANTILES,
        ),
    ]


def _where() -> list[Panel]:
    return [
        panels.row("Where", 13),
        panels.timeseries(
            "Failed share by PoP",
            "Share of a PoP's requests that ended as edge_error, api_error or timeout. One line up: that PoP, consider "
            "draining it; all lines up: look behind the PoPs.",
            queries.ratio_by("pop", f"sumIf(requests, {queries.FAILED})", f"sumIf({queries.SIGNED}, {queries.FAILED})"),
            (0, 14, 12, 8),
            unit="percentunit",
            label="pop",
        ),
        panels.timeseries(
            "Edge time p99 by PoP",
            "The slow hundredth of each PoP. One line up while its failures stay low: congestion or a slow upstream there.",
            queries.quantile_by("pop", queries.P99),
            (12, 14, 12, 8),
            unit="ns",
            label="pop",
        ),
        _place_table(
            "pop",
            "PoP",
            "Each PoP over the whole range. A row opens its request path.",
            (0, 22, 12, 7),
            "route",
        ),
        _place_table(
            "route",
            "Route",
            "Each route over the whole range, the busiest first. One bad route in every PoP is the API's; one bad PoP on "
            "every route is the edge's. A row opens its request path.",
            (12, 22, 12, 7),
            "pop",
        ),
    ]


def _why() -> list[Panel]:
    return [
        panels.row("Why", 29),
        panels.timeseries(
            "Blamed for failures",
            "Failed requests a second by the tier and PoP nearest the API that failed by itself. An API error passed on by "
            "four proxies is one API error.",
            blame.blamed_over_time(),
            (0, 30, 12, 8),
            unit="reqps",
            label="blamed",
            stacked=True,
        ),
        panels.table(
            "Blamed components",
            "The components behind the range's failures, the most blamed first, each with its commonest reason. Page "
            "the owner of the first row.",
            blame.blamed_components(),
            (12, 30, 12, 8),
            fine=True,
            overrides=[
                override("Tier", custom_width=90),
                override("PoP", custom_width=90),
                override("Failed", unit="short", decimals=0, custom_width=90),
                override(
                    "Of all failures",
                    unit="percentunit",
                    decimals=1,
                    min=0,
                    max=1,
                    custom_cellOptions={"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
                    color=panels.fixed(colors.RED),
                    custom_width=170,
                ),
            ],
        ),
        panels.timeseries(
            "Throttled and blocked",
            "Requests a second refused on purpose. Rises with an attack or a runaway client; rising without more traffic, "
            "a limit or a rule was changed.",
            queries.rate_by("outcome", where=f"{queries.PLACE_AND_OUTCOME} AND {queries.REFUSED}"),
            (0, 38, 12, 8),
            unit="reqps",
            label="outcome",
            colors=colors.OUTCOMES,
        ),
        panels.timeseries(
            "Retries per request by PoP",
            "Attempts that did not answer, per request. A PoP whose retries climb is hiding failures that will reach "
            "clients when its retry budget is spent.",
            queries.ratio_by("pop", "sum(retries)", f"sum(retries * {queries.SIGNED})"),
            (12, 38, 12, 8),
            unit="none",
            label="pop",
        ),
    ]
