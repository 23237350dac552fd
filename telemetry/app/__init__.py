"""Edgepath's processes, put together from their parts: the composition roots that the commands call."""
