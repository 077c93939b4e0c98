"""What Prometheus is told: every name once, and what a run or a sweep comes to under these names. Pure."""
