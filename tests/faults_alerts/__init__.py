"""A hundred incidents with faults in the alerting itself: `make faults-alerts`."""
