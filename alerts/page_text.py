"""The words of a page: a first line for a phone's screen, and below it what one needs to start."""

from typing import TYPE_CHECKING, Final

from alerts.document import duration_text

if TYPE_CHECKING:
    from alerts.page import PageEvent

_NAMED: Final = 3
"""Groups and blamed places named one by one; the rest is a number."""


def summary(event: "PageEvent") -> str:
    """One line; what matters most stands first, for screens cut it."""
    word = f"DRILL {event.severity.upper()}" if event.drill else event.severity.upper()
    what = " ".join(part for part in (event.slo, event.value) if part) or "edgepath"
    if others := len(event.members) - 1:
        what += f" +{others}" if others > 0 else ""
    what += f" at {event.deployment}" if event.deployment else ""
    if event.kind == "resolve":
        return f"RESOLVED {what}: after {lasted(event.at - event.started)}{_culprit(event, ', was ')}"
    if not event.is_burn:
        return f"{word} {what}: {event.description}"
    if event.cause == "sustained":
        return f"{word} {what}: {percent(event.error_ratio)} {event.bad_noun}, few requests, goes on{_culprit(event, ', ')}"
    rate = f"{percent(event.error_ratio)} {event.bad_noun}, burn {_short(event.short_burn or 0.0)}x"
    return f"{word} {what}: {rate}{_culprit(event, ', ')}"


def text(event: "PageEvent") -> str:
    """The whole message."""
    lines = [event.summary]
    if event.drill:
        lines.append("This is a drill: nothing is wrong, nothing is to be done.")
    lines.append(event.description if event.is_burn else "")
    if event.is_burn:
        lines += [*_rule(event), *_budget(event)]
    if len(event.members) > 1:
        lines.append(f"{len(event.members)} alerts, one incident: {_members(event)}")
    for b in event.blame[:_NAMED]:
        place = " ".join(part for part in (b.tier, b.component, b.pop, b.reason) if part)
        lines.append(f"blamed: {place}: {b.requests:.0f} requests")
    if event.environment and not event.drill:
        lines.append(f"environment: {event.environment}")
    if event.trace_ids:
        lines.append(f"traces: {' '.join(event.trace_ids)}")
    lines.extend(f"{k}: {v}" for k, v in (("dashboard", event.dashboard_url), ("runbook", event.runbook_url)) if v)
    return "\n".join(line for line in lines if line)


def _rule(event: "PageEvent") -> list[str]:
    if event.kind == "resolve" and event.long_burn is None:
        return []
    if event.cause == "sustained":
        return [
            f"under the floor of events: the last {event.long_seconds // event.short_seconds} stretches of "
            f"{duration_text(event.short_seconds)} that saw any request were bad, {event.bad_events:.0f} of "
            f"{event.total_events:.0f}; objective {event.objective}"
        ]
    windows = f"{duration_text(event.long_seconds)} and {duration_text(event.short_seconds)}"
    sampled = ""
    if event.long_low is not None:
        sampled = f" (sampled: {_short(event.long_low)}x or more, {event.confidence} sure)"
    return [
        f"burn rate {_short(event.long_burn or 0)}x over {duration_text(event.long_seconds)}{sampled}, "
        f"{_short(event.short_burn or 0)}x over {duration_text(event.short_seconds)} "
        f"({event.severity}s over {event.factor}x in {windows}); objective {event.objective}"
    ]


def _budget(event: "PageEvent") -> list[str]:
    if event.budget_left is None:
        return []
    left = f"budget left: {percent(event.budget_left)} of {duration_text(event.period_seconds)}"
    if event.kind == "resolve" or event.exhausted_in is None:
        return [left]
    return [
        f"{left}, {'none to lose' if event.exhausted_in <= 0 else f'gone in {lasted(event.exhausted_in)} at this rate'}"
    ]


def _members(event: "PageEvent") -> str:
    named = [
        " ".join(p for p in (m.slo, m.value, percent(m.error_ratio) if m.bad_noun else "", m.bad_noun) if p)
        for m in event.members[:8]
    ]
    more = len(event.members) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _culprit(event: "PageEvent", before: str) -> str:
    if not event.blame:
        return ""
    worst = event.blame[0]
    named = " ".join(part for part in (worst.tier, worst.component, worst.reason) if part)
    return f"{before}{named}" if named else ""


def percent(ratio: float) -> str:
    """A share for people: two digits, or whole percents."""
    value = ratio * 100
    return f"{value:.0f}%" if abs(value) >= 10 or value == 0 else f"{value:.2g}%"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def lasted(seconds: float) -> str:
    """A length of time for people, in its two largest units."""
    whole = max(int(seconds), 0)
    days, hours, minutes, rest = whole // 86_400, whole // 3600 % 24, whole % 3600 // 60, whole % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"
