"""Whether every node of a cluster sees the storage, the data and the model that a document names by path."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from eagleray.errors import UserError
from eagleray.spec import metrics, together
from eagleray.spec.data import resources
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store.objects import Objects
from eagleray.train.cluster import live_nodes

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")

GOES_WITH_JOB = (
    "storage {storage} lies in the job's temporary folder, which Ray deletes after the job: give a bucket or the "
    "absolute path of a shared mount, by --storage, EAGLERAY_STORAGE or spec.storage"
)


def check_all_see(spec: FineTuneSpec, objects: Objects, *, num_nodes: int) -> None:
    """Raise UserError where a path is there on one node and missing on another. One node sees itself."""
    if num_nodes < 2:
        return
    if objects.local_path is not None and goes_with_job(objects.local_path):
        raise UserError(GOES_WITH_JOB.format(storage=objects.local_path))
    sources = {"spec.model.source": spec.model.source, **together.sources(spec.task)}
    if spec.data.train is not None:
        sources["spec.data.train"] = spec.data.train
    if spec.data.validation.file is not None:
        sources["spec.data.validation.file"] = spec.data.validation.file
    if spec.data.test is not None:
        sources["spec.data.test"] = spec.data.test
    sources |= resources(spec.data) | metrics.files(spec.metrics)
    if (wordnet := getattr(spec.task, "wordnet", None)) is not None:
        sources["spec.task.wordnet"] = wordnet
    local = {path: source for path, source in sources.items() if Path(source).is_absolute()}
    probe = f".probe-{uuid.uuid4().hex}"
    if objects.local_path is not None:
        local["spec.storage"] = str(objects.local_path / probe)
        objects.put(probe, b"")
    try:
        seen = ask_each(_found, list(local.values()))
    finally:
        objects.delete([probe])
    for path, source in local.items():
        if blind := [node for node, found in seen.items() if isinstance(found, RayError) or not found[source]]:
            raise UserError(_message(path, source.removesuffix(f"/{probe}"), blind))


def goes_with_job(path: Path) -> bool:
    """Whether a path lies below the working directory that Ray unpacks for a job."""
    return "runtime_resources" in path.parts and "working_dir_files" in path.parts


def ask_each(
    question: Callable[_Asked, _Answer], *args: _Asked.args, **kwargs: _Asked.kwargs
) -> dict[str, _Answer | RayError]:
    """What a function of a module says on each node of the connected cluster, by node; a node that cannot says why."""
    ask = ray.remote(num_cpus=0, max_retries=0)(question)
    asked = {
        node["NodeManagerAddress"] + "/" + node["NodeID"][:8]: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(*args, **kwargs)
        for node in live_nodes()
    }
    answers: dict[str, _Answer | RayError] = {}
    for node, reference in asked.items():
        try:
            answers[node] = ray.get(reference)
        except RayError as error:
            answers[node] = error
    return answers


def _found(sources: list[str]) -> dict[str, bool]:
    return {source: Path(source).exists() or any(Path("/").glob(source.lstrip("/"))) for source in sources}


def _message(path: str, source: str, blind: list[str]) -> str:
    return (
        f"{path}: {source} is not there on {', '.join(blind)}: a cluster of several nodes needs a place that all see. "
        "Use a shared mount, s3://, gs:// or az:// for the storage, and a shared mount, a package (pkg://) or a hub id "
        "for data and model"
    )
