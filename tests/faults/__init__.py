"""Faults on purpose: real consumers, a real Kafka and a real ClickHouse, and the paths must come out right all the same.

``python -m tests.faults`` (``make faults``) runs the long set, ``pytest tests/faults`` a short one. Every case has a seed
that decides what is sent and what breaks when; how the processes interleave is the machine's affair, so that a repeated case
does the same things at about the same time, not to the microsecond.
"""
