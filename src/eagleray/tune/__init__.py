"""The sweep: which configurations are tried, where each runs, which are stopped early, and what comes of it."""
