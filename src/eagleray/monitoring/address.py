"""Where are the metrics of a run served, and can they be?"""

from __future__ import annotations

import socket

from eagleray.errors import UserError
from eagleray.spec.monitoring import MonitoringSpec


def url(spec: MonitoringSpec) -> str:
    """Where Prometheus asks."""
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    return f"http://{host}:{spec.port}/metrics"


def check(spec: MonitoringSpec | None) -> None:
    """Raise UserError where something listens already, or the address is not this machine's."""
    if spec is None:
        return
    family = socket.AF_INET6 if ":" in spec.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a port just left is free
        try:
            probe.bind((spec.host, spec.port))
        except OSError as error:
            raise refused(spec, error) from error


def refused(spec: MonitoringSpec, error: OSError) -> UserError:
    """What to tell of an address that cannot be listened on."""
    return UserError(
        f"monitoring: {spec.host}:{spec.port} cannot be listened on ({error.strerror}): give another port by "
        "--set monitoring.port=N, or end what has it"
    )
