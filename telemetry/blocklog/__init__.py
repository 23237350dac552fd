"""The block log: what a partition of the feed emits goes into ClickHouse once, whoever crashes, stalls or comes back."""
