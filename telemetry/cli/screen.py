"""What ``edgepath up`` shows: where things are, a live line, the pages."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from alerts.page import PageEvent
from telemetry.cli.logs import say
from telemetry.demo.incident import IncidentTimes
from telemetry.demo.report import summarize

if TYPE_CHECKING:
    from telemetry.app.up import Facts, Up

_PLAIN_LINE_SECONDS = 10.0


class Screen:
    """A terminal, or a plain log where there is none."""

    def __init__(self) -> None:
        """Write to standard output."""
        # Into a file, a line stays a line, however long.
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        self._live: Live | None = None
        self._plain_due = 0.0

    def progress(self, text: str) -> None:
        """What is being done."""
        self._console.print(f"[dim]{escape(text)} …[/dim]" if not text.startswith("stopped") else escape(text))

    def where(self, running: "Up") -> None:
        """What is where."""
        rows = list(running.where)
        width = max(len(label) for label, _ in rows)
        lines = [f"[bold]{label.ljust(width)}[/bold]  {escape(value)}" for label, value in rows]
        names = ", ".join(slo.name for slo in running.slos)
        lines.append(f"[bold]{'SLOs'.ljust(width)}[/bold]  {escape(names)}")
        lines.append(f"[bold]{'policy'.ljust(width)}[/bold]  {escape(_policy(running))}")
        self._console.print(Panel("\n".join(lines), title="Edgepath", expand=False))
        if running.fleet is not None:
            for line in running.fleet.describe():
                self._console.print(f"  {escape(line)}")
            demo = running.settings.demo
            assert demo is not None  # noqa: S101 - there is a fleet
            self._console.print(
                f"  In {demo.incident_after_seconds:g} s an incident begins in PoP {demo.incident_pop}: "
                f"{demo.incident_share:.0%} of its upstream connections fail, for {demo.incident_seconds:g} s."
            )
            if not running.settings.slos:
                self._console.print(
                    "  The demo's latency SLO allows 1 s where the shipped one has 250 ms: the whole fleet shares this machine."
                )
        self._console.print("Ctrl-C stops everything.\n")

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """While inside, :meth:`line` keeps one line at the bottom of a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(Text(""), console=self._console, refresh_per_second=4, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def line(self, facts: "Facts", recent: Callable[[], tuple[float, float | None, float | None]]) -> None:
        """The live line; without a terminal, one every ten seconds."""
        if self._live is None and time.monotonic() < self._plain_due:
            return
        self._plain_due = time.monotonic() + _PLAIN_LINE_SECONDS
        self._line(facts, *recent())

    def _line(self, facts: "Facts", rate: float, p50: float | None, p99: float | None) -> None:
        p = facts.pipeline
        edge = f"edge time p50 {_ms(p50)} p99 {_ms(p99)}"
        pages = f"{len(facts.open_pages)} open page{'' if len(facts.open_pages) == 1 else 's'}"
        parts = [f"{rate:,.0f} requests/s", f"{p.paths:,} paths stored", edge, pages]
        if p.late_spans:
            parts.append(f"{p.late_spans:,} late spans")
        if p.rejected_records:
            parts.append(f"{p.rejected_records:,} dead letters")
        text = Text(" · ".join(parts), style="bold red" if facts.open_pages else "green")
        if facts.trouble:
            text.append(f"\n{facts.trouble}", style="yellow")
        if self._live is not None:
            self._live.update(text)
        else:
            self._console.print(f"{time.strftime('%H:%M:%S')} {text.plain}", markup=False)

    def page(self, event: PageEvent) -> None:
        """A page, or its resolve."""
        fired = event.kind == "trigger"
        title = f"{time.strftime('%H:%M:%S', time.localtime(event.at))} {'PAGE' if fired else 'RESOLVED'}"
        self._console.print(
            Panel(escape(event.text), title=title, border_style="red" if fired else "green", expand=False)
        )

    def incident(self, incident: IncidentTimes) -> None:
        """The demo's incident begins or ends."""
        if incident.end is None:
            text = f"the demo breaks PoP {incident.pop} now: part of its upstream connections fail"
        else:
            text = f"the demo has mended PoP {incident.pop}"
        self._console.print(f"[magenta]{time.strftime('%H:%M:%S')} {text}[/magenta]")

    def report(self, report: Mapping[str, Any]) -> None:
        """The demo's report in words."""
        self._console.print(Panel(escape("\n".join(summarize(report))), title="Report", expand=False))


class JsonLines(Screen):
    """The same as one JSON object a line."""

    def progress(self, text: str) -> None:
        """What is being done."""
        say(text)

    def where(self, running: "Up") -> None:
        """What is where."""
        say("running", where=dict(running.where))

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Nothing is kept at the bottom."""
        yield

    def page(self, event: PageEvent) -> None:
        """A page, or its resolve."""
        say(event.text, kind=event.kind, severity=event.severity, slo=event.slo, pop=event.pop, tier=event.tier)

    def incident(self, incident: IncidentTimes) -> None:
        """The demo's incident begins or ends."""
        say("the demo's incident begins" if incident.end is None else "the demo's incident ends", pop=incident.pop)

    def report(self, report: Mapping[str, Any]) -> None:
        """The demo's report."""
        say("report", report=report)

    def _line(self, facts: "Facts", rate: float, p50: float | None, p99: float | None) -> None:
        p = facts.pipeline
        say(
            f"{rate:,.0f} requests/s",
            requests_per_second=rate,
            paths=p.paths,
            edge_ms_p50=p50,
            edge_ms_p99=p99,
            open_pages=len(facts.open_pages),
            late_spans=p.late_spans,
            dead_letters=p.rejected_records,
            trouble=facts.trouble,
        )


def screen_for(*, as_json: bool) -> Screen:
    """How to show it."""
    return JsonLines() if as_json else Screen()


def _policy(running: "Up") -> str:
    policy = running.policy

    if policy.name == "demo":
        return (
            "demo: windows compressed from hours to seconds so that a page fits into the demo; the default is workbook"
        )
    return policy.name


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
