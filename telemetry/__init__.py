"""Edgepath: the way a request takes from the client to the first API server.

``import telemetry`` is what services do; it gives the SDK and loads nothing of the pipeline.
"""
