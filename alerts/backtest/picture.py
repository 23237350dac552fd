"""A backtest as a picture (SVG): burn rate over time, known incidents behind it, the alerts of each policy below."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

import numpy as np

from alerts.backtest.score import Score
from alerts.backtest.series import Floats, Series
from alerts.backtest.windows import running
from alerts.burnrate import Rule
from alerts.sli_reads import Group
from alerts.slos.model import Slo

_WIDTH: Final = 1200
_LEFT, _RIGHT, _TOP, _HEIGHT, _ROW = 70, 20, 44, 320, 26
_LEAST, _MOST = 0.1, 1000.0
_COLOURS: Final = ("#3274d9", "#ff780a", "#8f3bb8", "#37872d", "#e0b400", "#5794f2", "#b877d9", "#96d98d")
_BARS: Final = {"page": "#c4162a", "ticket": "#e0b400"}


def draw(
    slo: Slo, series: Mapping[Group, Series], rules: Sequence[Rule], scores: Sequence[Score], start: float, end: float
) -> str:
    """The text of an SVG file: burn rates over the shortest window of ``rules``, on a logarithmic axis."""
    scale = _Scale(start, end)
    bottom = _TOP + _HEIGHT
    height = bottom + 40 + _ROW * len(scores) + 20
    window = min((r.short_seconds for r in rules), default=300)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="15">{escape(slo.name)}: burn rate over {window // 60} min, '
        f"objective {slo.objective.normalize():f}</text>",
    ]
    for incident in scores[0].incidents if scores else ():
        x, width = scale.x(incident.start), max(2.0, scale.x(incident.end) - scale.x(incident.start))
        fill = "#fde2e4" if incident.expect == "page" else "#fff4cc" if incident.expect == "ticket" else "#eeeeee"
        parts.append(
            f'<rect x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_HEIGHT}" fill="{fill}">'
            f"<title>{escape(incident.name)}</title></rect>"
        )
    parts += _axes(scale, bottom)
    for rule in rules:
        y = scale.y(float(rule.factor))
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_BARS[rule.severity]}" '
            f'stroke-dasharray="4 4"><title>{rule.severity} over {rule.factor:f}</title></line>'
        )
    for number, (group, one) in enumerate(sorted(series.items())):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.2" points="{_line(slo, one, window, scale)}"/>'
        )
        label = escape(" ".join(p for p in (group.environment, group.value) if p) or slo.name)
        parts.append(f'<text x="{_WIDTH - _RIGHT - 140 * (number % 5 + 1)}" y="36" fill="{colour}">{label}</text>')
    for number, score in enumerate(scores):
        parts += _row(score, scale, bottom + 34 + number * _ROW)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, max(end, start + 1)

    def x(self, at: float) -> float:
        share = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, burn: float) -> float:
        share = np.log10(min(max(burn, _LEAST), _MOST) / _LEAST) / np.log10(_MOST / _LEAST)
        return float(_TOP + _HEIGHT * (1 - share))


def _axes(scale: _Scale, bottom: int) -> list[str]:
    parts = []
    for burn in (0.1, 1, 10, 100, 1000):
        y = scale.y(burn)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{burn:g}x</text>')
    span = scale.end - scale.start
    step = next((s for s in (600, 3600, 21_600, 86_400, 5 * 86_400, 30 * 86_400) if span / s <= 12), 30 * 86_400)
    at = (scale.start // step + 1) * step
    while at < scale.end:
        x = scale.x(at)
        form = "%H:%M" if span <= 2 * 86_400 else "%d %b"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#eeeeee"/>')
        text = datetime.fromtimestamp(at, UTC).strftime(form)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
        at += step
    return parts


def _line(slo: Slo, series: Series, window: int, scale: _Scale) -> str:
    n = max(1, window // series.step)
    bad, total = running(series.bad, n), running(series.total, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        burn: Floats = np.where(total > 0, bad / total / float(1 - slo.objective), 0.0)
    at = series.start + np.arange(1, len(series) + 1) * series.step
    inside = (at > scale.start) & (at <= scale.end)
    burn, at = burn[inside], at[inside]
    # Of all minutes that fall on one dot, the worst: a page must not lie beside a line that saw nothing.
    per = max(1, len(burn) // (_WIDTH - _LEFT - _RIGHT))
    count = len(burn) // per
    worst = burn[: count * per].reshape(count, per).max(axis=1) if count else burn
    times = at[: count * per].reshape(count, per)[:, -1] if count else at
    return " ".join(f"{scale.x(float(t)):.1f},{scale.y(float(b)):.1f}" for t, b in zip(times, worst, strict=True))


def _row(score: Score, scale: _Scale, y: int) -> list[str]:
    parts = [f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end" font-size="11">{escape(score.policy[:11])}</text>']
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y + 8}" y2="{y + 8}" stroke="#eeeeee"/>')
    for page in score.pages:
        x = scale.x(page.first.at)
        width = max(3.0, scale.x(page.resolved if page.resolved is not None else scale.end) - x)
        false = score.labelled and (page.incident is None or page.incident.expect == "none")
        edge = ' stroke="#000000" stroke-width="1.5"' if false and page.first.severity == "page" else ""
        names = ", ".join(dict.fromkeys(f.group.value for f in page.fired))
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" fill="{_BARS[page.first.severity]}"{edge}>'
            f"<title>{escape(f'{page.first.severity} {names}')}</title></rect>"
        )
    return parts
