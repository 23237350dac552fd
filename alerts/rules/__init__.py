"""Rules for other engines, from the same SLOs and policies: Grafana-managed alerts over ClickHouse, and Prometheus rules."""
