"""Where does Prometheus find the metrics of a run while it goes on?"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.base import Spec, Text


class MonitoringSpec(Spec):
    """Metrics for Prometheus at `http://HOST:PORT/metrics`, served by the process that drives a run or a sweep."""

    port: Annotated[int, Field(ge=1, le=65535)] = 9464
    """Where it listens. Two runs on one host need two ports."""
    host: Text = "127.0.0.1"
    """On which address. Whoever reaches it may read: `0.0.0.0` is for a pod or a network that is closed to others."""
