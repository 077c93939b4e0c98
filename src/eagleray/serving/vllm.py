"""How does vLLM serve registered models on GPUs, through `ray.serve.llm`? Configured and tested; never run by tests.

`ray.serve.llm` brings an ingress of its own, which answers anybody. Its routes are put into an application of ours
(`guard`), so that a request passes our edge, keys and rates first. Its `build_openai_app` leaves no room for that, and
serves without any ingress where the environment says RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.exceptions import BackPressureError
from ray.serve.schema import ApplicationStatus

from eagleray.errors import ModelSourceError, UserError
from eagleray.model import description, virtual_tokens
from eagleray.serving import follow, guard
from eagleray.serving.auth import Authority, NoAuth, authority
from eagleray.serving.identity import identity
from eagleray.serving.scaling import scaling
from eagleray.serving.versions import fetched
from eagleray.spec.endpoint import AuthSpec, EndpointSpec, VllmBackendSpec
from eagleray.spec.serving import ServingSpec
from eagleray.store import cache, registry
from eagleray.store.objects import Objects, open_storage
from eagleray.tasks import trained

# Of what `ray.serve.llm` offers: what would read sound, embed or score is no task of ours.
_ROUTES: dict[str, Any] = {
    "models": lambda app: app.get("/v1/models"),
    "model_data": lambda app: app.get("/v1/models/{model:path}"),
    "completions": lambda app: app.post("/v1/completions"),
    "chat": lambda app: app.post("/v1/chat/completions"),
}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class ServedFiles:
    """One model as vLLM shall have it."""

    name: str  # what requests say as `model`
    directory: Path  # whole weights, config, tokenizer
    allow_remote_code: bool = False


def application(spec: ServingSpec, *, storage: str, cache_dir: str) -> Application:
    """One deployment of vLLM a model, and one process before all of them that knows who may call.

    Versions are those of now: an alias that moves is followed when the endpoint is deployed again.

    Raises:
        UserError: vLLM is not installed, or a model is none that it runs.
        EaglerayError: a version cannot be fetched.
    """
    objects = open_storage(storage, must_exist=True)
    versions = {name: desired.stable for name, desired in follow.at_start(objects, spec.models).items()}
    check(objects, spec, versions)
    llm, ingress, models = (
        _needed(f"ray.{name}")
        for name in ("serve.llm", "serve.llm.ingress", "llm._internal.serve.core.configs.openai_api_models")
    )
    registered = follow.registered_names(spec.models)
    files = [
        served_files(objects, name, registered[name], version, cache_dir=Path(cache_dir), backend=_backend(spec))
        for name, version in versions.items()
    ]
    configs = [llm.LLMConfig(**llm_config(each, endpoint=spec.endpoint)) for each in files]
    engine = guard.Engine(is_ready=is_ready, refused=models.OpenAIHTTPException, is_full=BackPressureError)
    authority = callers(spec.endpoint.auth, storage)
    app = guard.build(spec.endpoint, engine, authority, identity=identity(spec, storage=storage))
    answering = ingress.make_fastapi_ingress(ingress.OpenAiIngress, app=app, endpoint_map=_ROUTES)
    # A decorator for classes that are named at once; this one is made, and is deployed here.
    deployment: Deployment = serve.deployment(answering)  # type: ignore[assignment]
    return deployment.options(**ingress_options(spec)).bind(
        llm_deployments={config.model_id: llm.build_llm_deployment(config) for config in configs},
        model_cards={config.model_id: models.to_model_metadata(config.model_id, config) for config in configs},
    )


def check(objects: Objects, spec: ServingSpec, versions: dict[str, int]) -> None:
    """Raise UserError for a model that vLLM cannot serve here."""
    registered = follow.registered_names(spec.models)
    for name, version in versions.items():
        task = registry.read(objects, registered[name], version).task
        if task != "causal-lm":
            raise UserError(
                f"backend.type vllm continues texts (causal-lm), {registered[name]}@{version} is of task {task}: serve "
                "it by an endpoint of its own with backend torch or onnx"
            )


def llm_config(files: ServedFiles, *, endpoint: EndpointSpec) -> dict[str, Any]:
    """The fields of `ray.serve.llm.LLMConfig`, as plain values."""
    backend, limits, replicas = endpoint.backend, endpoint.limits, endpoint.replicas
    assert isinstance(backend, VllmBackendSpec)
    engine: dict[str, Any] = {
        "tensor_parallel_size": backend.tensor_parallel_size,
        "gpu_memory_utilization": backend.gpu_memory_utilization,
        "dtype": _name(_DTYPES[backend.dtype]),
        "max_num_seqs": limits.max_streams,
        # What a request leaves out is as OpenAI has it, not as the model's own file; no request gets more tokens.
        "generation_config": "vllm",
        "override_generation_config": {"max_new_tokens": limits.max_new_tokens},
        "trust_remote_code": files.allow_remote_code,
    }
    if backend.max_model_len is not None:
        engine["max_model_len"] = backend.max_model_len
    return {
        "model_loading_config": {"model_id": files.name, "model_source": str(files.directory)},
        "llm_engine": "vLLM",
        "engine_kwargs": engine,
        # GPUs belong to vLLM's workers, each of which has a bundle; the replica itself needs its CPUs alone.
        "placement_group_config": {"bundle_per_worker": {"GPU": 1}},
        "deployment_config": {
            "ray_actor_options": {"num_cpus": replicas.cpus},
            "max_ongoing_requests": limits.max_streams,
            "max_queued_requests": limits.max_streams,
            "graceful_shutdown_timeout_s": endpoint.drain_s,
            **scaling(replicas),
        },
    }


def ingress_options(spec: ServingSpec) -> dict[str, Any]:
    """The options of what stands before the engines: one process, so that a key's rate is counted in one place."""
    endpoint = spec.endpoint
    # Which request is one too many the queue of its engine says, by 429.
    most = 2 * len(spec.models) * endpoint.limits.max_streams * (endpoint.replicas.max + 1)
    return {
        "num_replicas": 1,
        "ray_actor_options": {"num_cpus": 1},
        "max_ongoing_requests": most,
        "max_queued_requests": most,
        "graceful_shutdown_timeout_s": endpoint.drain_s,
    }


def served_files(
    objects: Objects, name: str, registered: str, version: int, *, cache_dir: Path, backend: VllmBackendSpec
) -> ServedFiles:
    """A version's files on this machine, an adapter merged into its base.

    Ray Serve's LoRA would have requests call `BASE:ADAPTER`, answer for the bare base besides, and read adapters from a
    bucket alone.

    Raises:
        EaglerayError: it cannot be fetched.
        UserError: it wants its texts cleaned.
        ModelSourceError: an adapter's base is gone or is another one now.
    """
    directory = fetched(objects, registered, version, cache_dir=cache_dir)
    facts = description.read(directory)
    if facts.clean:
        raise UserError(
            f"backend.type vllm reads texts as they come, and {registered}@{version} learned from cleaned ones "
            "(data.clean): serve it with backend torch"
        )
    if (directory / "adapter_config.json").is_file():
        directory = _merged(directory, dtype=_DTYPES[backend.dtype])
    return ServedFiles(name, directory, allow_remote_code=facts.base.allow_remote_code)


def callers(auth: AuthSpec, storage: str) -> Callable[[], Authority | NoAuth]:
    """Who knows the callers, asked for in the process that answers them; goes over a process' border."""
    return partial(_authority, auth, storage)


def is_ready() -> bool:
    """Whether all deployments of this replica's application run: the engines have loaded their models."""
    found = serve.status().applications.get(serve.get_replica_context().app_name)
    return found is not None and found.status == ApplicationStatus.RUNNING


def _authority(auth: AuthSpec, storage: str) -> Authority | NoAuth:
    return authority(auth, open_storage(storage, must_exist=True))


def _merged(directory: Path, *, dtype: torch.dtype) -> Path:
    """Beside the adapter, made once. Merged in fp32, whatever it is stored in: rounding comes last."""
    merged = directory.with_name(f"{directory.name}-merged-{_name(dtype)}")
    if merged.is_dir():
        cache.touch(merged)
        return merged
    scratch = Path(tempfile.mkdtemp(prefix=f".{merged.name}-", dir=directory.parent))
    try:
        whole = trained.load(directory, device=torch.device("cpu"))
        if virtual_tokens.is_prompt(whole.model):
            raise ModelSourceError(f"{directory}: a learned prompt cannot be merged: train with method.type lora")
        model: Any = whole.model.to(dtype)
        model.save_pretrained(scratch)
        whole.tokenizer.save_pretrained(scratch)
        scratch.replace(merged)
    except OSError:
        if not merged.is_dir():  # somebody else was faster
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return merged


def _backend(spec: ServingSpec) -> VllmBackendSpec:
    assert isinstance(spec.endpoint.backend, VllmBackendSpec)
    return spec.endpoint.backend


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _needed(module: str) -> Any:
    """Here and not above: without vLLM `ray.serve.llm` cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'backend.type vllm needs vLLM: `pip install "ray[llm]"` ({error})') from error
