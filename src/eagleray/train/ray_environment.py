"""The environment that Ray reads when it is imported: to be set before, so this module imports nothing of it."""

from __future__ import annotations

import os
import secrets

TRAIN = {
    # How often it looks after its workers: its default of 2 s is what a run would wait at its end.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # How long workers may take to leave their process group: by its default a run would wait 30 s for one that hangs,
    # before it is ended and all begin again.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",  # `attempt` says where it logs, in this process
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # an actor that nothing of ours listens to
}
"""What Ray Train reads whenever it starts workers."""


def is_embedded() -> bool:
    """Tell whether a run would start a Ray of its own on this machine: no cluster is named."""
    return not os.environ.get("RAY_ADDRESS")


def prepare() -> None:
    """Set what the user has not set. An embedded Ray takes a token that only this process and its children know."""
    for name, value in TRAIN.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's coming default; else a warning a worker
    if not is_embedded():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")  # idle processes that fit no actor of Ray Train
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token" and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def prepare_serve() -> None:
    """The same for Ray Serve, whose defaults trade a request's cost for the comfort of handlers that block."""
    os.environ.setdefault("RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "0")  # ours never block the loop
    os.environ.setdefault("RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP", "0")
    os.environ.setdefault("RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE", "1000")  # its access log; ours is eagleray.access
    # A busy machine starts the proxy in more than the 5 s of the default; then it is killed, and all begins anew.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    if is_embedded():
        # One endpoint on one machine: `eagleray.serving.shortcut` says what it does.
        os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "eagleray.serving.shortcut:middlewares")
