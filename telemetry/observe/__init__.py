"""How a running consumer is seen from outside: metrics (Prometheus, OTLP), health, structured logs.

It is told by two small interfaces of :mod:`telemetry.observe.model` and knows nothing of Kafka, the engine or the store.
"""
