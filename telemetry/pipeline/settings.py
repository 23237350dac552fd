"""How the loop runs."""

from dataclasses import dataclass, field

from telemetry.engine.metrics import MetricSettings
from telemetry.engine.settings import EngineSettings


@dataclass(frozen=True)
class PipelineSettings:
    """Settings of the loop.

    Attributes:
        engine: settings of the engine.
        flush_seconds: how often traces are closed and stored.
        flush_bytes: what came in is decoded, and traces are closed, earlier when it is so much.
        poll_seconds: how long to wait for records at a time.
        blocks_per_second: with many partitions each is closed less often, so that there are no more blocks than these.
        max_waiting_batches: when as many batches of a partition wait for the store, no more of it are closed.
        max_waiting_bytes: when so many bytes wait for the store, of all partitions, nothing more is taken in or closed.
        senders: how many blocks are sent at once, each of another partition; 0 sends in the loop itself.
    """

    engine: EngineSettings
    flush_seconds: float = 1.0
    flush_bytes: int = 32 * 1024 * 1024
    poll_seconds: float = 0.2
    blocks_per_second: float = 16.0
    max_waiting_batches: int = 2
    max_waiting_bytes: int = 256 * 1024 * 1024
    senders: int = 4


@dataclass(frozen=True)
class MetricPipelineSettings:
    """Settings of the loop of metrics.

    Attributes:
        metrics: what is taken of a metric.
        flush_seconds: how often points are stored. Senders send every 10 to 60 s: nobody waits for them.
        flush_bytes: they are stored earlier when so much came in; no more is held undecoded.
        poll_seconds: how long to wait for records at a time.
        blocks_per_second: with many partitions each is stored less often, so that there are no more blocks than these.
        max_waiting_batches: when as many batches of a partition wait for the store, no more of it are made.
        max_waiting_bytes: when blocks of so many bytes wait for the store, nothing more is taken in.
        senders: how many blocks are sent at once, each of another partition; 0 sends in the loop itself.
    """

    metrics: MetricSettings = field(default_factory=MetricSettings)
    flush_seconds: float = 5.0
    flush_bytes: int = 4 * 1024 * 1024
    poll_seconds: float = 0.5
    blocks_per_second: float = 4.0
    max_waiting_batches: int = 2
    max_waiting_bytes: int = 64 * 1024 * 1024
    senders: int = 2
