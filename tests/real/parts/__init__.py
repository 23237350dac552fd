"""The real parts that tests talk to, each fetched by its own set-up when the machine does not have it.

A part that this machine cannot have raises :class:`tests.real.parts.missing.Missing`: the test is skipped and the end of
the run says so loudly; with ``CI=true`` it fails.
"""
