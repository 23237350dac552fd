"""The in-process feed's durable log: the receiver appends to it, the pipeline polls from it."""

from telemetry.feeds.journal.dead_letters import DeadLetters
from telemetry.feeds.journal.journal import Journal
from telemetry.feeds.journal.log import Fsync

__all__ = ["DeadLetters", "Fsync", "Journal"]
