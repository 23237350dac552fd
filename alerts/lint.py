"""What is wrong with SLOs under a policy, though each is well-formed: alerts that can never fire, windows that do not fit."""

from collections.abc import Sequence

from alerts.burnrate import Policy
from alerts.document import Problem, duration_text
from alerts.slos.model import Slo


def lint(slos: Sequence[Slo], policy: Policy) -> list[Problem]:
    """The problems of ``slos`` under ``policy``.

    A rule fires when the bad share is over ``factor * (1 - objective)``; from 1 on it never can.
    """
    problems: list[Problem] = []
    for slo in slos:
        for rule in policy.for_period(slo.period_seconds).rules:
            pair = f"{duration_text(rule.long_seconds)}/{duration_text(rule.short_seconds)}"
            share = rule.factor * (1 - slo.objective)
            if share >= 1:
                problems.append(
                    Problem(
                        slo.file,
                        "spec.objectives[0]",
                        f"{slo.name}: the {rule.severity} over {pair} can never fire: a burn rate of "
                        f"{rule.factor.normalize():f} at an objective of {slo.objective.normalize():f} asks for "
                        f"{float(share):.0%} bad requests; raise the objective or lower the factor in policy {policy.name}",
                    )
                )
            if rule.long_seconds > slo.period_seconds:
                problems.append(
                    Problem(
                        slo.file,
                        "spec.timeWindow[0].duration",
                        f"{slo.name}: the {rule.severity} looks back {duration_text(rule.long_seconds)}, longer than the "
                        f"period of {duration_text(slo.period_seconds)}; choose a longer period or another policy",
                    )
                )
    return problems
