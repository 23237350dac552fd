"""What is wrong with SLOs under a policy, though each is well-formed: alerts that can never fire, windows that do not fit.

Pure; what needs data is in :mod:`alerts.lint_data`.
"""

from collections.abc import Collection, Sequence
from typing import Final

from alerts.burnrate import Policy, Rule
from alerts.document import Problem, duration_text
from alerts.slos.model import PrometheusSlo, Slo

FEWEST_BUCKETS: Final = 2
"""A short window of fewer buckets is mostly the one that is still filling."""


def lint(slos: Sequence[Slo | PrometheusSlo], policy: Policy) -> list[Problem]:
    """The problems of ``slos`` under ``policy``.

    A rule fires when the bad share is over ``factor * (1 - objective)``; from 1 on it never can. The lint of a window's
    length is about what buckets of the policy's resolution, or the slices of the SLO, can tell apart.
    """
    problems: list[Problem] = []
    for slo in slos:
        rules = rules_of(slo, policy)
        for rule in rules.rules:
            problems += [Problem(slo.file, path, f"{slo.name}: {text}") for path, text in _rule(slo, rule, policy)]
    return problems


def notes(slos: Sequence[Slo | PrometheusSlo], policy: Policy) -> list[Problem]:
    """What is worth knowing of ``slos`` under ``policy`` and stops nothing."""
    found = [note for slo in slos for note in _early(slo, policy)]
    floor = policy.min_bad_paths > 1 or policy.min_bad_events > 1
    if not floor or policy.sustained is not None:
        return found
    text = (
        f"policy {policy.name} has a floor of {policy.min_bad_events.normalize():f} bad events and no rule under it: an outage "
        "that meets fewer requests never pages; give the policy a sustained: rule"
    )
    return found + [Problem(slo.file, "spec.objectives[0]", f"{slo.name}: {text}", note=True) for slo in slos]


def _early(slo: Slo | PrometheusSlo, policy: Policy) -> list[Problem]:
    """Pages about an SLO that is met: factors scaled to a short period may be so low."""
    found = []
    for rule in rules_of(slo, policy).rules:
        if rule.severity == "page" and rule.factor <= 1:
            text = (
                f"the page over {duration_text(rule.long_seconds)}/{duration_text(rule.short_seconds)} fires at a burn rate "
                f"over {rule.factor.normalize():.6g}, at which a period of {duration_text(slo.period_seconds)} does not use "
                "its budget up; choose a longer period, another policy, or alert policies of its own"
            )
            found.append(Problem(slo.file, "spec.timeWindow[0].duration", f"{slo.name}: {text}", note=True))
    return found


def rules_of(slo: Slo | PrometheusSlo, policy: Policy) -> Policy:
    """The policy as it holds for an SLO, for every engine: of its own alert policies those that may breach, if it has any."""
    return policy.for_slo(slo.period_seconds, (a.rule for a in slo.alerting if a.when_breaching))


def targets_of(slo: Slo | PrometheusSlo, rules: Collection[Rule]) -> list[str]:
    """Names of the targets that are told when one of ``rules`` fires, for engines that tell the same ones each time."""
    return sorted({name for a in slo.alerting if a.when_breaching and a.rule in rules for name in a.targets})


def _rule(slo: Slo | PrometheusSlo, rule: Rule, policy: Policy) -> list[tuple[str, str]]:
    pair = f"{duration_text(rule.long_seconds)}/{duration_text(rule.short_seconds)}"
    what = f"the {rule.severity} over {pair}"
    own = next((a.name for a in slo.alerting if a.rule is rule), "")
    mend = f"alert policy {own}" if own else f"policy {policy.name}"
    found: list[tuple[str, str]] = []
    share = rule.factor * (1 - slo.objective)
    factor = f"{rule.factor.normalize():.6g}" if rule.factor != int(rule.factor) else f"{int(rule.factor)}"
    if share >= 1:
        text = (
            f"{what} can never fire: a burn rate of {factor} at an objective of {slo.objective.normalize():f} asks for "
            f"{float(share):.0%} bad requests; raise the objective or lower the factor in {mend}"
        )
        found.append(("spec.objectives[0]", text))
    if rule.long_seconds > slo.period_seconds:
        text = (
            f"the {rule.severity} looks back {duration_text(rule.long_seconds)}, longer than the "
            f"period of {duration_text(slo.period_seconds)}; choose a longer period or another policy"
        )
        found.append(("spec.timeWindow[0].duration", text))
    if isinstance(slo, PrometheusSlo):
        return found
    step = max(policy.resolution_seconds, slo.slice_seconds)
    unit = "slices" if slo.slice_seconds > policy.resolution_seconds else "buckets"
    if rule.short_seconds % policy.resolution_seconds or rule.long_seconds % policy.resolution_seconds:
        found.append(
            ("spec.alertPolicies", f"{what}: its windows are no multiples of the resolution of policy {policy.name}")
        )
    elif slo.slice_seconds and slo.slice_seconds % policy.resolution_seconds:
        text = f"a slice of {duration_text(slo.slice_seconds)} is no multiple of the resolution of policy {policy.name}"
        found.append(("spec.objectives[0].timeSliceWindow", text))
    elif rule.short_seconds % step or rule.short_seconds // step < FEWEST_BUCKETS:
        text = (
            f"{what} cannot be told apart by {unit} of {duration_text(step)}: its short window needs {FEWEST_BUCKETS} or "
            f"more of them, whole; use {'shorter slices' if slo.slice_seconds else 'a finer resolution'} or longer windows"
        )
        found.append(("spec.objectives[0]", text))
    return found
