"""What speaks against a document on the machines that it would run on?

Each node of the cluster is asked, for what one node cannot do shows only once a worker is placed there.
"""

from __future__ import annotations

import platform
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ray.exceptions import RayError

from eagleray.errors import EaglerayError, UserError
from eagleray.flow.findings import Finding, free_space, shared_memory
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.store.cache import cache_root
from eagleray.store.objects import ObjectMissing, Objects, open_storage
from eagleray.train import cluster, nodes, preflight
from eagleray.train.ray_environment import is_embedded

_PACKAGES = ("eagleray", "ray", "torch", "deepspeed", "transformers")
_MOST_SKEW_S = 2.0
_INSTALL = "install the same packages on each node"
_ELSEWHERE = "use a shared mount, s3://, gs:// or az://"


@dataclass(frozen=True, slots=True)
class Look:
    """What a node says about itself."""

    at: float  # seconds since the epoch, by its own clock
    versions: dict[str, str]
    findings: tuple[Finding, ...]


def examine(document: FineTune, objects: Objects, *, storage: str, stack: ExitStack) -> Iterator[Finding]:
    """Look at each machine, this one first; the cluster at RAY_ADDRESS is left when the stack is closed.

    Raises:
        ClusterError: the cluster does not answer.
    """
    probe = f".eagleray-probe-{uuid.uuid4().hex}"
    objects.put(probe, b"probe")
    try:
        here = look(document.spec, storage, probe)
        yield from _placed("this machine", here.findings)
        if not is_embedded():
            stack.enter_context(cluster.connected())
            yield from _of_cluster(document.spec, storage=storage, probe=probe, here=here)
    finally:
        objects.delete([probe])


def look(spec: FineTuneSpec, storage: str, probe: str) -> Look:
    """Look at the machine that this runs on. `probe` is the key of an object on the storage, written by another."""
    return Look(
        time.time(),
        _versions(),
        (
            _storage(storage, probe),
            _sources(spec),
            shared_memory(),
            free_space("cache", cache_root(), "EAGLERAY_CACHE names another directory"),
        ),
    )


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise UserError that tells all errors at once."""
    if errors := [str(each) for each in findings if each.state == "error"]:
        raise UserError("\n".join(errors))


def judged(node: str, seen: Look | RayError, here: Look, *, asked: tuple[float, float]) -> Iterator[Finding]:
    """What a node's look says beside that of this machine; `asked` is from when to when it had time to answer."""
    if not isinstance(seen, Look):
        told = str(seen).strip().splitlines()[-1]
        yield Finding(f"{node}: eagleray", "error", f"cannot run: {told}", _INSTALL)
        return
    yield from _placed(node, (_same(seen.versions, here.versions), *seen.findings))
    skew_s = max(asked[0] - seen.at, seen.at - asked[1])
    if skew_s > _MOST_SKEW_S:
        told = f"{skew_s:.0f} s off: records of one run would contradict each other"
        yield Finding(f"{node}: clock", "warning", told, "keep the time by NTP")


def _of_cluster(spec: FineTuneSpec, *, storage: str, probe: str, here: Look) -> Iterator[Finding]:
    asked_at = time.time()
    looks = nodes.ask_each(look, spec, storage, probe)
    for node, seen in looks.items():
        yield from judged(node, seen, here, asked=(asked_at, time.time()))


def _placed(node: str, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    for each in findings:
        yield Finding(f"{node}: {each.what}", each.state, each.seen, each.remedy)


def _storage(storage: str, probe: str) -> Finding:
    try:
        objects = open_storage(storage, must_exist=True)
        objects.read(probe)
        objects.check_writable()
    except ObjectMissing:
        return Finding("spec.storage", "error", f"{storage} is there, but not what others write to it", _ELSEWHERE)
    except (EaglerayError, OSError) as error:
        return Finding("spec.storage", "error", f"{storage} cannot be used: {error}", _ELSEWHERE)
    return Finding("spec.storage", "ok", f"{storage} can be written and read")


def _sources(spec: FineTuneSpec) -> Finding:
    try:
        preflight.check_sources(spec)
    except UserError as error:
        return Finding("model and data", "error", str(error), "a shared mount, a package (pkg://) or a hub id is there")
    return Finding("model and data", "ok", "they are there")


def _versions() -> dict[str, str]:
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in _PACKAGES:
        try:
            # Without the build: torch's for CUDA and the one for CPUs are the same code.
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "none"
    return found


def _same(there: dict[str, str], here: dict[str, str]) -> Finding:
    other = [f"{name} is {there[name]}, here {here[name]}" for name in here if there[name] != here[name]]
    if other:
        return Finding("versions", "error", "; ".join(other), _INSTALL)
    return Finding(
        "versions", "ok", ", ".join(f"{name} {there[name]}" for name in ("python", "eagleray", "ray", "torch"))
    )
