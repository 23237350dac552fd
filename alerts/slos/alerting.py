"""OpenSLO AlertPolicy, AlertCondition and AlertNotificationTarget.

An AlertPolicy has one condition: a burn rate (``threshold``) over ``lookbackWindow``. What OpenSLO cannot say is said by
annotations: ``edgepath/shortWindow`` of the condition (by default a twelfth of the long one, as the SRE Workbook advises in
chapter 5), ``edgepath/url`` or ``edgepath/urlFrom`` of the target (which variable or file has it, for secrets).
"""

import re
from typing import Final

from alerts.burnrate import SEVERITIES, Rule, Severity
from alerts.document import Reader
from alerts.slos.model import Alerting, Target
from alerts.slos.objects import Object, Objects, head

SHORT_WINDOW: Final = "edgepath/shortWindow"
URL: Final = "edgepath/url"
URL_FROM: Final = "edgepath/urlFrom"
TARGETS: Final = ("alertmanager", "pagerduty", "slack", "webhook")
_SHARE: Final = 12
_MINUTE: Final = 60


def policies_from(reader: Reader, objects: Objects, targets: dict[str, Target]) -> tuple[Alerting, ...]:
    """The alert policies of an SLO, inline or referred to; targets that stand inside are added to ``targets``."""
    found: list[Alerting] = []
    for item in reader.items():
        policy = _object(item, "AlertPolicy", "alertPolicyRef", objects)
        made = policy_from(policy, objects, targets) if policy else None
        if made is None:
            continue
        if any(a.rule.key == made.rule.key for a in found):
            item.note("two policies have the same severity and windows; keep one")
        found.append(made)
    return tuple(found)


def target_from(source: Object) -> Target | None:
    """The target of an AlertNotificationTarget."""
    spec = source.spec.fields(("target",), ("description",))
    kind = _named(spec["target"], TARGETS) if "target" in spec else None
    description = (spec["description"].text() or "") if "description" in spec else ""
    url, where = source.annotations.get(URL, ""), source.annotations.get(URL_FROM, "")
    path = where.removeprefix("file:") if where.startswith("file:") else ""
    variable = "" if path or where == "file:" else where.removeprefix("env:")
    if bool(url) == bool(variable or path):
        source.metadata.note(
            f"write where to send to: {URL_FROM}: env:VARIABLE or file:/PATH (for secrets), or {URL}: https://...",
            "annotations",
        )
        return None
    if path and not path.startswith("/"):
        source.metadata.note(f"{path!r} is no absolute path; write file:/PATH", f"annotations.{URL_FROM}")
        return None
    if variable and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        source.metadata.note(f"{variable!r} is no name of an environment variable", f"annotations.{URL_FROM}")
        return None
    return None if kind is None else Target(source.name, kind, url, variable, description, source.file, path)


def _object(item: Reader, kind: str, reference: str, objects: Objects) -> Object | None:
    if isinstance(item.value, str):
        return objects.referred(item, kind)  # the form of OpenSLO before 1.0, still in use
    if isinstance(item.value, dict) and reference in item.value:
        return objects.referred(item.fields((reference,))[reference], kind)
    fields = item.fields(("kind", "metadata", "spec"), ("apiVersion",))
    if "kind" in fields and fields["kind"].value != kind:
        fields["kind"].note(f"{fields['kind'].value!r} does not stand here; write {kind}, or {reference}: NAME")
        return None
    return head(fields["metadata"], kind, fields["spec"], item.file) if len(fields) >= 3 else None


def policy_from(policy: Object, objects: Objects, targets: dict[str, Target]) -> Alerting | None:
    """The alerting of an AlertPolicy, or None and problems."""
    spec = policy.spec.fields(
        ("conditions", "notificationTargets"),
        ("description", "alertWhenNoData", "alertWhenResolved", "alertWhenBreaching"),
    )
    flags = {
        key: spec[key].flag(default) if key in spec else default
        for key, default in (("alertWhenBreaching", True), ("alertWhenResolved", True), ("alertWhenNoData", False))
    }
    conditions = spec["conditions"].items() if "conditions" in spec else []
    if "conditions" in spec and len(conditions) != 1:
        spec["conditions"].note(f"expected exactly one condition, found {len(conditions)}; write a policy for each")
        return None
    condition = _object(conditions[0], "AlertCondition", "conditionRef", objects) if conditions else None
    rule = rule_from(condition) if condition else None
    names = _targets(spec["notificationTargets"], objects, targets) if "notificationTargets" in spec else ()
    if rule is None:
        return None
    return Alerting(
        policy.name, rule, names, flags["alertWhenBreaching"], flags["alertWhenResolved"], flags["alertWhenNoData"]
    )


def _targets(reader: Reader, objects: Objects, targets: dict[str, Target]) -> tuple[str, ...]:
    names: list[str] = []
    for item in reader.items():
        found = _object(item, "AlertNotificationTarget", "targetRef", objects)
        if found is None:
            continue
        if found.name not in targets:
            made = target_from(found)
            if made is None:
                continue
            targets[found.name] = made
        names.append(found.name)
    return tuple(dict.fromkeys(names))


def rule_from(source: Object) -> Rule | None:
    """The rule of an AlertCondition, or None and problems."""
    spec = source.spec.fields(("severity", "condition"), ("description",))
    severity = _named(spec["severity"], SEVERITIES) if "severity" in spec else None
    if "condition" not in spec:
        return None
    condition = spec["condition"].fields(("threshold", "lookbackWindow"), ("kind", "op", "alertAfter"))
    if "kind" in condition:
        condition["kind"].one_of(("burnrate",))
    if "op" in condition:
        condition["op"].one_of(("gt", "gte"))
    factor = condition["threshold"].decimal() if "threshold" in condition else None
    long_seconds = condition["lookbackWindow"].duration() if "lookbackWindow" in condition else None
    after = (condition["alertAfter"].duration() or 0) if "alertAfter" in condition else 0
    if factor is not None and factor <= 0:
        condition["threshold"].note("must be more than 0")
        return None
    if severity is None or factor is None or long_seconds is None:
        return None
    if long_seconds < 2 * _MINUTE or long_seconds % _MINUTE:
        condition["lookbackWindow"].note("a window is two minutes or more, and whole minutes")
        return None
    short_seconds = _short(source, long_seconds)
    if short_seconds is None:
        return None
    kind: Severity = "page" if severity == "page" else "ticket"
    return Rule(kind, long_seconds, short_seconds, factor, after)


def _short(source: Object, long_seconds: int) -> int | None:
    if SHORT_WINDOW not in source.annotations:
        return max(_MINUTE, -(-long_seconds // _SHARE // _MINUTE) * _MINUTE)
    reader = source.metadata.at(f"annotations.{SHORT_WINDOW}", source.annotations[SHORT_WINDOW])
    seconds = reader.duration()
    if seconds is not None and (seconds % _MINUTE or not 0 < seconds < long_seconds):
        reader.note("must be whole minutes, and less than lookbackWindow")
        return None
    return seconds


def _named(reader: Reader, choices: tuple[str, ...]) -> str | None:
    """One of ``choices``, in whatever case: OpenSLO's own examples write ``Slack`` and ``slack``."""
    low = reader.value.lower().replace("-", "") if isinstance(reader.value, str) else reader.value
    return Reader(low, reader.file, reader.path, reader.problems).one_of(choices)
