"""What the engine counts."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What went through since the start."""

    records: int = 0
    bytes: int = 0
    spans: int = 0
    invalid_spans: int = 0
    rejected_records: int = 0
    replayed_spans: int = 0
    duplicate_spans: int = 0
    late_spans: int = 0
    paths: int = 0
    complete_paths: int = 0
    restated_paths: int = 0
    kept_late_spans: int = 0
    split_traces: int = 0
