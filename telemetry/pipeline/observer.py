"""Who is told how long things took: the pipeline says it, ``telemetry.observe`` counts it."""

from typing import Protocol


class Observer(Protocol):
    """Takes measurements. Called from the pipeline's thread; must be quick and raise nothing."""

    def stored(self, rows: int, seconds: float) -> None:
        """A block of so many rows was stored; it took so long."""
        ...

    def flushed(self, seconds: float) -> None:
        """Records were decoded, and traces closed; it took so long."""
        ...

    def fresh(self, seconds: float) -> None:
        """A block landed so long after its newest record had arrived."""
        ...


class Nobody:
    """Takes no notice."""

    def stored(self, rows: int, seconds: float) -> None:
        """As :meth:`Observer.stored`."""

    def flushed(self, seconds: float) -> None:
        """As :meth:`Observer.flushed`."""

    def fresh(self, seconds: float) -> None:
        """As :meth:`Observer.fresh`."""
