"""What is here, what is missing for which function, and how is it mended? Nothing heavy is imported for it."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from eagleray.errors import EaglerayError
from eagleray.flow.findings import Finding, State, free_space, shared_memory
from eagleray.store.objects import local_directory, open_storage

EXTRAS = {
    "submit": "`eagleray submit`",
    "train": "training, sweeps and prediction",
    "serve": "endpoints",
    "ui": "`eagleray ui`",
    "track": "telling MLflow",
    "operator": "`eagleray operator`",
    "validate": "`eagleray render --validate`",
}
PORTS = {8000: "endpoints", 8265: "the dashboard of a Ray head"}
_MIN_OPEN_FILES = 4096
_REACH_S = 3.0


def examine(*, storage: str, cache_dir: Path) -> Iterator[Finding]:
    """Look at this machine and this installation, one thing after another."""
    yield Finding("python", "ok", f"{platform.python_version()} in {sys.prefix}")
    yield _packages("core", "everything", state="error")
    for extra, function in EXTRAS.items():
        yield _packages(extra, function, state="warning")
    yield _gpus()
    yield shared_memory()
    yield _open_files()
    yield free_space("cache", cache_dir, "EAGLERAY_CACHE names another directory")
    yield _storage(storage)
    for port, function in PORTS.items():
        yield _port(port, function)
    yield _cluster(os.environ.get("RAY_ADDRESS", ""))


def _packages(extra: str, function: str, *, state: State) -> Finding:
    """The packages of an extra against what this version of eagleray asks for."""
    wrong, there = [], {}
    for wanted in _wanted(extra):
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            wrong.append(f"{wanted.name} is not installed")
            continue
        there[wanted.name] = found
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} is {found}, needed is {wanted.specifier}")
    if wrong:
        install = "eagleray" if extra == "core" else f"'eagleray[{extra}]'"
        return Finding(extra, state, "; ".join(wrong), f"for {function}: pip install {install}")
    shown = [f"{name} {there[name]}" for name in ("ray", "torch", "deepspeed", "transformers") if name in there]
    return Finding(extra, "ok", f"{len(there)} packages for {function}" + (f": {', '.join(shown)}" if shown else ""))


def _wanted(extra: str) -> list[Requirement]:
    declared = [Requirement(each) for each in requires("eagleray") or ()]
    if extra == "core":
        return [each for each in declared if each.marker is None]
    return [each for each in declared if each.marker is not None and each.marker.evaluate({"extra": extra})]


def _gpus() -> Finding:
    devices = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    if not devices:
        return Finding("gpus", "ok", "none: training and endpoints use CPUs")
    try:
        build = version("torch")
    except PackageNotFoundError:
        build = ""
    if "+cpu" in build:
        return Finding(
            "gpus", "warning", f"{len(devices)} GPUs, and torch {build} cannot use them", "install torch's CUDA build"
        )
    return Finding("gpus", "ok", f"{len(devices)}: {', '.join(devices)}")


def _open_files() -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < _MIN_OPEN_FILES:
        return Finding("open files", "warning", f"at most {limit}", f"ulimit -n {16 * _MIN_OPEN_FILES}: Ray opens many")
    return Finding("open files", "ok", f"at most {limit}")


def _storage(uri: str) -> Finding:
    remedy = "--storage, EAGLERAY_STORAGE or spec.storage names another place"
    try:
        directory = local_directory(uri)
        if directory is not None and not directory.exists():  # the first run makes it
            return free_space("storage", directory, remedy)
        open_storage(uri).check_writable()
    except EaglerayError as error:
        return Finding("storage", "error", str(error), remedy)
    if directory is not None:
        return free_space("storage", directory, remedy)
    return Finding("storage", "ok", f"{uri} can be written")


def _port(port: int, function: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding(
                f"port {port}", "warning", f"{error.strerror}; {function} use it", "end what has it, or choose another"
            )
    return Finding(f"port {port}", "ok", f"free for {function}")


def _cluster(address: str) -> Finding:
    if not address:
        return Finding("cluster", "ok", "RAY_ADDRESS is not set: commands start a Ray of their own")
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if address == "auto" or not port.isdecimal():
        return Finding("cluster", "ok", f"RAY_ADDRESS={address}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        return Finding(
            "cluster", "error", f"RAY_ADDRESS={address} does not answer: {error}", "start the head, or unset it"
        )
    mode = os.environ.get("RAY_AUTH_MODE", "")
    has_token = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    token = "with a token" if has_token else f"without a token (RAY_AUTH_MODE={mode or 'not set'})"
    return Finding("cluster", "ok", f"{address} answers, {token}")
