"""Runs the panels' own queries, and nothing else, with limits."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from telemetry.errors import MalformedError
from telemetry.store.base import Store
from telemetry.web.boards import Board, Panel
from telemetry.web.frames import frame
from telemetry.web.macros import ALL, Context, expand
from telemetry.web.timerange import TimeRange, interval_ms
from telemetry.web.variables import Variable

Json = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What one query of the page may cost."""

    seconds: int = 20
    rows: int = 50_000
    memory_bytes: int = 2_000_000_000

    def settings(self) -> str:
        """The limits as ClickHouse settings, reading only."""
        return (
            f"SETTINGS readonly = 1, max_execution_time = {self.seconds}, max_result_rows = {self.rows}, "
            f"result_overflow_mode = 'throw', max_memory_usage = {self.memory_bytes}"
        )


@dataclass(frozen=True)
class View:
    """What the page shows of a dashboard: a time range and the chosen values (:func:`telemetry.web.variables.choose`)."""

    range: TimeRange
    values: Mapping[str, Sequence[str]]


class Runner:
    """Answers for panels and variables of dashboards out of a store. Safe to use from several threads."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        self._store = store
        self._settings: Final = (limits or Limits()).settings()

    def panel(self, board: Board, panel: Panel, view: View) -> Json:
        """The frames of a panel, one a query, with the interval of its points and the time it took.

        Raises:
            MalformedError: a query of the panel cannot be expanded.
            StoreError, UnavailableError: as the store does.
        """
        step = interval_ms(view.range, panel.max_points, panel.min_interval_ms)
        context = self._context(board, view, step)
        began = time.perf_counter()
        frames = []
        for query in panel.queries:
            result = self._store.query(f"{expand(query.sql, context)}\n{self._settings}")
            frames.append(frame(result, time_series=query.time_series))
        return {
            "frames": frames,
            "from": view.range.from_ms,
            "to": view.range.to_ms,
            "interval_ms": step,
            "elapsed_ms": round((time.perf_counter() - began) * 1000),
        }

    def options(self, board: Board, variable: Variable, view: View) -> list[str]:
        """What may be chosen for a variable now.

        Raises:
            MalformedError, StoreError, UnavailableError: as :meth:`panel`.
        """
        if variable.kind != "query":
            return list(variable.options)
        if not variable.sql.lstrip().upper().startswith(("SELECT", "WITH")) or ";" in variable.sql:
            raise MalformedError(f"variable {variable.name}: its query is not one SELECT")
        context = self._context(board, view, interval_ms(view.range, 300, 1000))
        result = self._store.query(f"{expand(variable.sql, context)}\n{self._settings}")
        return [str(row[0]) for row in result.rows]

    def ready(self) -> None:
        """Raises what the store raises when it does not answer."""
        self._store.query("SELECT 1")

    def _context(self, board: Board, view: View, step: int) -> Context:
        by_name = {variable.name: variable for variable in board.variables}

        def everything(name: str) -> Sequence[str]:
            variable = by_name[name]
            if variable.all_value is not None:
                raise MalformedError(f"variable {name}: an own value for All cannot be quoted; use $__conditionalAll")
            return [v for v in self.options(board, variable, view) if v != ALL]

        return Context(view.range, step, view.values, everything)
