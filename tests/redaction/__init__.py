"""What may never be stored, in disguise, and what looks like it and is innocent: ``python -m tests.redaction``."""
