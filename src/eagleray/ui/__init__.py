"""A read-only web page over a storage: runs, sweeps, models, endpoints."""
