"""Files for Grafana and Prometheus: their shape, that their SQL runs, and that secrets stay out of them."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner

from alerts import policies, slos
from alerts.burnrate import Rule, Sustained
from alerts.decide import judge, judge_sustained
from alerts.lint import lint, rules_of
from alerts.rules import build
from alerts.rules.dashboard import dashboard
from alerts.rules.grafana import rule_files
from alerts.rules.prometheus import rule_file
from alerts.rules.verdict_sql import burn_sql, sustained_sql
from alerts.sli_reads import read_slots, read_windows
from alerts.sli_views import sync
from alerts.slos.model import OTHER, Alerting, Catalog, Target
from alerts.watch import Watcher
from telemetry.cli.slo import slo as command
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, FakeStore, append_paths, make_policy, make_slo, path_row, write
from tests.unit.alerts.test_budget_sql import as_grafana_would
from tests.unit.alerts.test_openslo_objects import ALL, PROMETHEUS, SLO


@pytest.fixture
def made() -> dict[str, Any]:
    """What is made of the shipped SLOs, parsed, by file name."""
    texts = build.files(slos.load_catalog(), policies.load())
    return {Path(n).name: yaml.safe_load(t) for n, t in texts.items()}


def test_grafanas_rules_are_as_file_provisioning_reads_them(made: dict[str, Any]) -> None:
    (group,) = made["edgepath-rules.yaml"]["groups"]
    assert (group["orgId"], group["folder"], group["interval"]) == (1, "Edgepath", "10s")
    titles = [r["title"] for r in group["rules"]]
    assert titles == [
        "edge-availability: page", "edge-availability: page (few requests)", "edge-availability: ticket",
        "edge-latency: page", "edge-latency: page (few requests)", "edge-latency: ticket",
    ]  # fmt: skip
    assert len({r["uid"] for r in group["rules"]}) == 6
    rule = group["rules"][0]
    assert "grafana_alert" not in rule
    kept = ("condition", "noDataState", "execErrState", "keepFiringFor")
    assert [rule[k] for k in kept] == ["B", "KeepLast", "KeepLast", "5m"]
    query, condition = rule["data"]
    assert [query[k] for k in ("refId", "datasourceUid", "relativeTimeRange")] == [
        "A",
        "clickhouse",
        {"from": 21_600, "to": 0},
    ]
    assert condition["datasourceUid"] == "-100"
    assert [condition["model"][k] for k in ("type", "expression")] == ["math", "$A > 0.5"]
    assert rule["labels"] == {"service": "edge", "slo": "edge-availability", "severity": "page"}
    summary = "PAGE edge-availability {{ $labels.pop }}: the error budget burns, {{ $labels.environment }}"
    assert rule["annotations"]["summary"] == summary


def test_contact_points_and_routes_come_from_the_targets_without_their_secrets(tmp_path: Path) -> None:
    found = slos.load_catalog([write(tmp_path / "a.yaml", "---\n".join(ALL))])
    texts = {Path(n).name: yaml.safe_load(t) for n, t in build.files(found, policies.load()).items()}
    points = texts["edgepath-contact-points.yaml"]["contactPoints"]
    assert [(p["name"], p["receivers"][0]["type"], p["receivers"][0]["settings"]) for p in points] == [
        ("on-call", "pagerduty", {"integrationKey": "$PAGERDUTY_KEY"}),
        ("edgepath", "webhook", {"url": "$EDGEPATH_WEBHOOK", "httpMethod": "POST"}),
    ]
    (root,) = texts["edgepath-policies.yaml"]["policies"]
    assert root["group_by"] == ["service", "environment", "severity"]
    assert root["routes"][0]["object_matchers"] == [["edgepath_targets", "=~", "(.*,)?on-call(,.*)?"]]
    rule = texts["edgepath-rules.yaml"]["groups"][0]["rules"][0]
    assert (rule["labels"]["edgepath_targets"], rule["for"]) == ("on-call", "120s")


def test_a_targets_name_is_no_pattern() -> None:
    """The route of ``a.b`` takes nothing of ``a-b``; the regular expression is anchored, as Grafana anchors it."""
    target = Target("a.b|c\\d", "webhook", "https://chat.test/hook", "", "", "a.yaml")
    found = Catalog(slos=(make_slo(),), targets=(target,))
    (root,) = rule_files(found, policies.load())["edgepath-policies.yaml"]["policies"]
    ((_, operator, pattern),) = root["routes"][0]["object_matchers"]
    assert operator == "=~"
    assert all(re.fullmatch(pattern, label) for label in ("a.b|c\\d", "x,a.b|c\\d", "a.b|c\\d,y"))
    assert not any(re.fullmatch(pattern, label) for label in ("a-b|c\\d", "a.b", "c\\d", "c1"))


def test_a_file_with_a_secret_is_read_by_grafana_itself() -> None:
    target = Target("chat", "slack", "", "", "", "a.yaml", "/run/secrets/chat")
    found = Catalog(slos=(make_slo(),), targets=(target,))
    point = rule_files(found, policies.load())["edgepath-contact-points.yaml"]["contactPoints"][0]
    assert point["receivers"][0]["settings"] == {"url": "$__file{/run/secrets/chat}"}


FAST: Final = Alerting("fast", Rule("page", 3600, 300, Decimal("14.4")), ("phone",))
SLOW: Final = Alerting("slow", Rule("page", 21_600, 1800, Decimal(6), after_seconds=1800), ("chat",))
OFF: Final = Alerting(
    "off", Rule("ticket", 1800, 300, Decimal(2000)), ("mail",), when_breaching=False, when_no_data=True
)


def test_a_policy_that_waits_holds_none_back_that_does_not() -> None:
    """Grafana's ``for`` is of a whole rule: each alertAfter has one of its own."""

    def made(*alerting: Alerting) -> dict[str, tuple[str, str, str]]:
        found = Catalog(slos=(make_slo(alerting=alerting),))
        rules = rule_files(found, make_policy(sustained=None))["edgepath-rules.yaml"]["groups"][0]["rules"]
        return {r["title"]: (r["for"], r["labels"]["edgepath_targets"], r["uid"]) for r in rules}

    alone, both = made(SLOW), made(SLOW, FAST)
    title = "edge-availability: page"
    assert {t: told[:2] for t, told in both.items()} == {
        title: ("0s", "phone"), f"{title} (after 30m)": ("1800s", "chat"),
    }  # fmt: skip
    assert list(alone) == [title]
    assert alone[title][2] == both[title][2] != both[f"{title} (after 30m)"][2]


def test_every_engine_has_the_same_rules(tmp_path: Path) -> None:
    """A policy that is not to tell of a breach has no rule anywhere, nor does anybody lint it."""
    slo, policy = make_slo(alerting=(FAST, OFF)), make_policy(sustained=None)
    assert [r.key for r in rules_of(slo, policy).rules] == [FAST.rule.key]
    assert "ticket" not in str(lint([slo], policy))
    (rule,) = rule_files(Catalog(slos=(slo,)), policy)["edgepath-rules.yaml"]["groups"][0]["rules"]
    assert (rule["title"], rule["labels"]["edgepath_targets"]) == ("edge-availability: page", "phone")
    text = SLO.replace("  indicatorRef: reached\n", PROMETHEUS).split("  alertPolicies", maxsplit=1)[0]
    (other,) = slos.load_catalog([write(tmp_path / "a.yaml", text)]).prometheus
    (group,) = rule_file([replace(other, alerting=(FAST, OFF))], policy)["groups"]
    assert [r["labels"]["severity"] for r in group["rules"] if "alert" in r] == ["page"]
    watcher = Watcher(FakeStore(), [slo], policy, sync_views=False)
    assert watcher._policies[slo.name] == rules_of(slo, policy)


def test_a_dollar_of_ones_own_is_no_variable_of_grafanas(tmp_path: Path) -> None:
    """Grafana puts variables into labels and settings, where ``$$`` is a dollar, not into queries."""
    found = slos.load_catalog([write(tmp_path / "a.yaml", "---\n".join(ALL))])
    (slo, *others), (target, *_) = found.slos, found.targets
    url = "https://chat.test/hook?key=a$b"
    changed = replace(
        found,
        slos=(replace(slo, service="pay$ments"), *others),
        targets=(replace(target, kind="webhook", url=url, variable=""),),
    )
    texts = {Path(n).name: yaml.safe_load(t) for n, t in build.files(changed, policies.load()).items()}
    points = texts["edgepath-contact-points.yaml"]["contactPoints"]
    assert points[0]["receivers"][0]["settings"] == {"url": "https://chat.test/hook?key=a$$b"}
    rule = texts["edgepath-rules.yaml"]["groups"][0]["rules"][0]
    assert rule["labels"]["service"] == "pay$$ments"
    assert rule["data"][1]["model"]["expression"] == "$A > 0.5"


def test_the_sql_of_every_rule_runs(store: Store, made: dict[str, Any]) -> None:
    for rule in made["edgepath-rules.yaml"]["groups"][0]["rules"]:
        assert store.query(rule["data"][0]["model"]["rawSql"]).rows == []


def test_a_group_without_traffic_is_neither_well_nor_bad(store: Store) -> None:
    """NULL, which Grafana takes for no data, which keeps the last state."""
    (one, _), policy = slos.load(), policies.load()
    sync(store, [one], 60, T0 - 60)
    append_paths(store, [path_row()])
    sql = [burn_sql(one, policy, "page", str(int(T0) + seconds)) for seconds in (60, 7200)]
    assert [store.query(s).rows for s in sql] == [[("prod", "fra", 0.0)], [("prod", "fra", None)]]


@pytest.mark.parametrize("sliced", [False, True])
def test_every_group_is_judged_as_the_watcher_judges_it(store: Store, sliced: bool) -> None:
    """More groups than stand by themselves: the two largest and the rest, by their windows and by the rule under the floor."""
    slo = make_slo(group_by="tenant", max_groups=2, objective=Decimal("0.9"))
    if sliced:
        slo = replace(slo, slice_seconds=300, slice_target=Decimal("0.5"))
    chance, values = Random(3), []
    for minute in range(200):
        for tenant in range(6):
            total = chance.choice((0, 1, 5)) + (10 * tenant if tenant > 3 else 0)
            bad = total if tenant % 2 and minute // 30 % 2 else min(total, chance.choice((0, 0, 0, 1)))
            counts = ", ".join(map(str, (total - bad, total) * 3))
            values += [f"('{slo.name}', {int(T0) + minute * 60}, 'prod', 'tenant', 'acct_{tenant}', {counts})"]
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        f"total_squares) VALUES {', '.join(values)}"
    )
    sustained = Sustained("page", 7200, 600, 3, Decimal("0.2"))
    policy = make_policy(rules=(Rule("page", 3600, 300, Decimal("3.5")), Rule("page", 1800, 300, Decimal(2))))
    seen = set()
    for now in range(int(T0) + 3659, int(T0) + 12_000, 1200):
        windows = read_windows(store, [slo], policy.windows, now)
        ours = {
            g.value: any(
                judge(policy, r, slo.objective, c[r.long_seconds], c[r.short_seconds]).fires for r in policy.rules
            )
            for g, c in windows.items()
        }
        assert {v: bool(f) for _, v, f in store.query(burn_sql(slo, policy, "page", str(now))).rows} == ours
        slots = read_slots(store, [slo], sustained, now)
        low = {g.value: judge_sustained(sustained, some).fires for g, some in slots.items()}
        assert {v: bool(f) for _, v, f in store.query(sustained_sql(slo, sustained, 0, str(now))).rows} == low
        assert set(ours) == set(low) == {"acct_5", "acct_4", OTHER}
        seen |= {("burn", *pair) for pair in ours.items()} | {("sustained", *pair) for pair in low.items()}
    assert {(kind, fires) for kind, _, fires in seen} == {(k, f) for k in ("burn", "sustained") for f in (True, False)}


def test_what_sampling_has_not_kept_is_allowed_for_as_the_watcher_does(store: Store) -> None:
    """Every error is kept and few of the good requests: the rule under the floor, hour by hour."""
    slo, rule = make_slo(), Sustained("page", 86_400, 1800, 3, Decimal("0.5"))
    sync(store, [slo], 60, T0 - 60)
    kept = {0: 1.0, 1: 8.0, 12: 4.0}  # weights of good requests, by the hour
    rows = [path_row(start=(int(T0) + h * 3600 + 60) * 10**9, weight=w) for h, w in kept.items()]
    failed = (h for h in range(2, 26) if h != 12)
    rows += [path_row(start=(int(T0) + h * 3600 + 60) * 10**9, outcome="edge_error") for h in failed]
    append_paths(store, rows)
    fired = {}
    for hour in range(26):
        now = int(T0) + hour * 3600 + 100
        (slots,) = read_slots(store, [slo], rule, now).values()
        fired[hour] = judge_sustained(rule, slots).fires
        assert [bool(f) for *_, f in store.query(sustained_sql(slo, rule, 0, str(now))).rows] == [fired[hour]]
    # Seven good ones may be there that nobody saw: it takes eight that failed.
    assert [hour for hour, fires in fired.items() if fires] == [9, 10, 11, *range(20, 26)]


def test_the_dashboards_sql_runs(store: Store) -> None:
    """With the datasource's macros and Grafana's variables filled in as they would be."""
    board = dashboard(slos.load())
    assert (board["uid"], board["schemaVersion"]) == ("edgepath-slo", 39)
    assert board["panels"][0]["title"] == "Error budgets"
    for panel in board["panels"]:
        sql = as_grafana_would(panel["targets"][0]["rawSql"], make_slo(), int(T0), int(T0) + 600)
        assert store.query(sql).rows == []


def test_prometheus_rules(tmp_path: Path) -> None:
    text = SLO.replace("  indicatorRef: reached\n", PROMETHEUS).split("  alertPolicies", maxsplit=1)[0]
    found = slos.load_catalog([write(tmp_path / "a.yaml", text)])
    texts = build.files(found, policies.load())
    assert list(texts) == ["prometheus/edgepath-slos.yaml"]
    (group,) = yaml.safe_load(texts["prometheus/edgepath-slos.yaml"])["groups"]
    first, page = group["rules"][0], next(r for r in group["rules"] if "alert" in r)
    assert group["rules"].index(page) == sum("record" in r for r in group["rules"])  # after all that they read
    assert first["record"] == "edgepath:sli_error:ratio_rate5m"
    assert first["expr"] == (
        '(sum(rate(http_requests_total{code=~"5.."}[5m])) or 0 * sum(rate(http_requests_total[5m]))) / '
        "(sum(rate(http_requests_total[5m])) > 0)"
    )
    assert page["expr"] == (
        'edgepath:sli_error:ratio_rate1h{slo="charges"} > 0.01344 and edgepath:sli_error:ratio_rate5m{slo="charges"} > 0.01344 '
        'and (edgepath:sli_bad:rate1h{slo="charges"} * 3600 >= 10)'
    )
    assert (page["keep_firing_for"], page["labels"]["severity"]) == ("5m", "page")


def test_the_command_writes_and_checks(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    wrote = CliRunner().invoke(command, ["rules", "--out", out])
    assert wrote.exit_code == 0, wrote.output
    assert len(wrote.output.splitlines()) == 4
    assert json.loads((tmp_path / "out/grafana/dashboards/edgepath-slo.json").read_text())["title"] == "Edgepath: SLOs"
    assert (
        "4 files are what the SLO files make" in CliRunner().invoke(command, ["rules", "--out", out, "--check"]).output
    )
    write(tmp_path / "out/grafana/provisioning/alerting/edgepath-rules.yaml", "")
    answer = CliRunner().invoke(command, ["rules", "--out", out, "--check"])
    assert "edgepath-rules.yaml: not what the SLO files make; mend it" in answer.output
