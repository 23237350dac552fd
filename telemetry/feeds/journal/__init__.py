"""The in-process feed's durable log: the receiver appends to it, the pipeline polls from it."""

from telemetry.feeds.journal.dead_letters import DeadLetters
from telemetry.feeds.journal.journal import Fsync, Journal

__all__ = ["DeadLetters", "Fsync", "Journal"]
