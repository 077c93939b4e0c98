"""The endpoint: models that answer over HTTP."""
