"""When a trace closes, and how much is kept."""

from dataclasses import dataclass, field

from telemetry.domain.tiers import Tiers


@dataclass(frozen=True)
class EngineSettings:
    """Settings of the engine; times in milliseconds of arrival time.

    Attributes:
        tiers: the configured tiers.
        complete_grace_ms: quiet time after which a trace closes that is complete and reached the API, or says why not.
        grace_ms: quiet time after which any trace closes.
        max_age_ms: a trace closes at this age even if spans keep coming.
        max_spans_per_trace: a trace closes when it has more (hostile or broken sender); later spans of it are late.
        remember_ms: how long an emitted trace is remembered, so that its later spans are told apart as late.
        block_spans: about so many spans are looked at for one block, a trace counting as four more; what else is due waits for
            the next one.
        block_bytes: the same of the bytes that keep the spans of its paths: names may be long.
        max_remembered: no more emitted traces than this are remembered (23 bytes each).
        max_versions: a path is restated for late spans until it has so many versions.
        max_open_bytes: when the spans that wait, their traces and their names take so much memory, no more are taken in until
            some close (back pressure). A span takes 148 bytes, a trace 80.
        future_ms, past_ms: how far a path's start may be from its arrival; beyond it the arrival time is stored.
    """

    tiers: Tiers = field(default_factory=Tiers)
    complete_grace_ms: int = 2_000
    grace_ms: int = 10_000
    max_age_ms: int = 300_000
    max_spans_per_trace: int = 10_000
    remember_ms: int = 900_000
    block_spans: int = 360_000
    block_bytes: int = 32 * 1024 * 1024
    max_remembered: int = 2_000_000
    max_versions: int = 20
    max_open_bytes: int = 384 * 1024 * 1024
    future_ms: int = 300_000
    past_ms: int = 7 * 24 * 3600 * 1000
