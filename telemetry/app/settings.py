"""What can be set about ``edgepath up``."""

from dataclasses import dataclass, field
from pathlib import Path

from telemetry.demo.settings import DemoSettings
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.kafka.settings import KafkaSettings


@dataclass(frozen=True)
class UpSettings:
    """Settings of ``edgepath up``.

    Attributes:
        data: the data directory.
        host: the address that everything listens on.
        grpc_port, http_port, web_port: 0 takes a free one.
        slos: files or directories of SLOs; if empty the shipped ones (in the demo, with a latency that fits a small machine).
        policy: burn-rate policy, a shipped one's name or a file.
        webhooks, alertmanagers: who is paged, besides the screen.
        demo: the demo's settings; None without it.
        run_seconds: how long to run; None until stopped.
        kafka: None: the journal; empty: start a broker; else how one that runs is reached, or its ``HOST:PORT``.
        engine: settings of the engine.
    """

    data: Path
    host: str = "127.0.0.1"
    grpc_port: int = 4317
    http_port: int = 4318
    web_port: int = 8080
    slos: tuple[Path, ...] = ()
    policy: str = "workbook"
    webhooks: tuple[str, ...] = ()
    alertmanagers: tuple[str, ...] = ()
    demo: DemoSettings | None = None
    run_seconds: float | None = None
    kafka: KafkaSettings | str | None = None
    engine: EngineSettings = field(default_factory=EngineSettings)
