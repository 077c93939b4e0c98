"""What Ray is told about vLLM, as far as a machine without a GPU can say: no test runs vLLM itself."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic.warnings import PydanticDeprecatedSince20
from ray import cloudpickle
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from eagleray.errors import UserError
from eagleray.spec.endpoint import EndpointSpec, VllmBackendSpec
from eagleray.spec.serving import ServingSpec
from eagleray.store import keys, registry
from eagleray.store.key_homes import StoredKeys
from eagleray.store.objects import Objects, open_storage
from eagleray.tasks import trained
from tests.support import tiny_models
from tests.support.adapters import adapter
from tests.support.records import NOW
from tests.support.served_models import CONTINUE, new_version

with warnings.catch_warnings():
    # Ray Serve declares its own fields as pydantic 1 wanted them (ray 2.60).
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    # The class behind ray.serve.llm.LLMConfig, which cannot be imported without vLLM.
    from ray.llm._internal.serve.core.configs.llm_config import LLMConfig
    from ray.serve._private.utils import ensure_serialization_context
    from ray.serve.exceptions import BackPressureError

    from eagleray.serving import app, guard, vllm

FILES = vllm.ServedFiles("writer", Path("/cache/writer/3"))
GPU = {"replicas": {"gpus": 1}}


def endpoint(*, backend: dict[str, Any] | None = None, **more: Any) -> EndpointSpec:
    fields = {**GPU, **more, "backend": {"type": "vllm", **(backend or {})}}
    return EndpointSpec.model_validate_json(json.dumps(fields))


def serving(models: dict[str, str], **more: Any) -> ServingSpec:
    listed = [{"name": name, "model": model} for name, model in models.items()]
    given = {"models": listed, "endpoint": {**GPU, "backend": {"type": "vllm"}}, **more}
    return ServingSpec.model_validate_json(json.dumps(given))


# what Ray is told


def test_the_whole_of_it() -> None:
    assert vllm.llm_config(FILES, endpoint=endpoint()) == {
        "model_loading_config": {"model_id": "writer", "model_source": "/cache/writer/3"},
        "llm_engine": "vLLM",
        "engine_kwargs": {
            "tensor_parallel_size": 1,
            "gpu_memory_utilization": 0.9,
            "dtype": "bfloat16",
            "max_num_seqs": 32,
            "generation_config": "vllm",
            "override_generation_config": {"max_new_tokens": 1024},
            "trust_remote_code": False,
        },
        "placement_group_config": {"bundle_per_worker": {"GPU": 1}},
        "deployment_config": {
            "ray_actor_options": {"num_cpus": 1.0},
            "max_ongoing_requests": 32,
            "max_queued_requests": 32,
            "graceful_shutdown_timeout_s": 30.0,
            "num_replicas": 1,
        },
    }


@pytest.mark.parametrize(
    ("backend", "key", "value"),
    [
        ({"tensor_parallel_size": 1}, "tensor_parallel_size", 1),
        ({"max_model_len": 4096}, "max_model_len", 4096),
        ({"gpu_memory_utilization": 0.5}, "gpu_memory_utilization", 0.5),
        ({"dtype": "fp16"}, "dtype", "float16"),
        ({"dtype": "fp32"}, "dtype", "float32"),
    ],
    ids=lambda given: str(given) if isinstance(given, dict) else "",
)
def test_what_the_document_says_the_engine_is_told(backend: dict[str, Any], key: str, value: Any) -> None:
    assert vllm.llm_config(FILES, endpoint=endpoint(backend=backend))["engine_kwargs"][key] == value


def test_code_of_the_model_runs_only_where_the_run_allowed_it() -> None:
    trusting = vllm.ServedFiles("writer", Path("/x"), allow_remote_code=True)
    assert vllm.llm_config(trusting, endpoint=endpoint())["engine_kwargs"]["trust_remote_code"] is True


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="plain"),
        pytest.param({"replicas": {"min": 0, "max": 4, "gpus": 1}}, id="scales-to-zero"),
        pytest.param({"replicas": {"gpus": 2}, "backend": {"tensor_parallel_size": 2}}, id="two-gpus"),
        pytest.param({"backend": {"max_model_len": 512, "dtype": "fp16"}}, id="short"),
    ],
)
@pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field")  # Ray Serve still reads it, and has none as good
def test_ray_accepts_it(more: dict[str, Any]) -> None:
    found = LLMConfig(**vllm.llm_config(FILES, endpoint=endpoint(**more)))

    assert found.model_id == "writer"
    assert found.accelerator_config is not None
    assert found.accelerator_config.kind == "gpu"


def test_replicas_come_and_go_as_the_document_says() -> None:
    told = endpoint(replicas={"min": 0, "max": 4, "gpus": 1, "target_ongoing_requests": 8, "downscale_delay_s": 600})
    config = vllm.llm_config(FILES, endpoint=told)["deployment_config"]

    assert "num_replicas" not in config
    scaling = config["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"], scaling["initial_replicas"]) == (0, 4, 1)
    assert (scaling["target_ongoing_requests"], scaling["downscale_delay_s"]) == (8, 600)


def test_one_process_counts_rates_and_queues_less_than_no_engine() -> None:
    options = vllm.ingress_options(serving({"a": "a", "b": "b"}))
    assert options["num_replicas"] == 1
    assert options["max_ongoing_requests"] >= 2 * (32 + 32), "the engines refuse first, by 429"


def test_what_stands_before_the_engines_reaches_another_process(objects: Objects) -> None:
    """As Ray Serve ships it: pickled, and started there; what cannot be pickled would break every start."""
    home, spec = StoredKeys(objects), endpoint()
    key = keys.create(home, "laptop", now=NOW).text
    engine = guard.Engine(is_ready=vllm.is_ready, refused=TimeoutError, is_full=BackPressureError)
    ensure_serialization_context()
    shipped = cloudpickle.dumps(guard.build(spec, engine, vllm.callers(spec.auth, objects.uri), identity="abc"))
    with TestClient(cloudpickle.loads(shipped)) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 404


# which files


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


def files(objects: Objects, tmp_path: Path, name: str = "writer", *, dtype: str = "fp32") -> vllm.ServedFiles:
    backend = VllmBackendSpec.model_validate({"type": "vllm", "dtype": dtype})
    return vllm.served_files(objects, "w", name, 1, cache_dir=tmp_path / "cache", backend=backend)


def registered_adapter(objects: Objects, tmp_path: Path) -> Path:
    """Version 1 of `writer`, an adapter; its directory."""
    directory = adapter(tmp_path / "lora", tiny_models.save_decoder(tmp_path / "base"), "causal-lm", seed=1)
    record = new_version(objects, tmp_path, name="other", task=CONTINUE, golden=())
    number = registry.claim(objects, "writer")
    listed = [each for each in sorted(directory.iterdir()) if each.is_file()]
    stored = tuple(registry.put_file(objects, "writer", number, each.name, each) for each in listed)
    changes = {"name": "writer", "version": number, "files": stored, "method": "lora"}
    registry.commit(objects, record.model_copy(update=changes))
    return directory


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits
    return found


def test_whole_weights_are_served_as_they_were_registered(objects: Objects, tmp_path: Path) -> None:
    new_version(objects, tmp_path, name="writer", task=CONTINUE, golden=())
    found = files(objects, tmp_path)

    assert found.name == "w"
    assert found.directory.name.startswith("writer-1-")
    assert (found.directory / "model.safetensors").is_file()


def test_an_adapter_is_merged_into_a_model_that_needs_no_peft(objects: Objects, tmp_path: Path) -> None:
    directory = registered_adapter(objects, tmp_path)
    found = files(objects, tmp_path).directory

    assert not list(found.glob("adapter*"))
    merged = AutoModelForCausalLM.from_pretrained(found).eval()
    alone = trained.load(directory, device=torch.device("cpu"))
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
    torch.testing.assert_close(logits(merged), logits(alone.model))
    assert not torch.allclose(logits(merged), logits(base), atol=1e-3), "the adapter has learned something"
    told = AutoTokenizer.from_pretrained(found)
    assert told("hello there")["input_ids"] == alone.tokenizer("hello there")["input_ids"]


def test_an_adapter_is_merged_once_a_precision(objects: Objects, tmp_path: Path) -> None:
    registered_adapter(objects, tmp_path)
    first = files(objects, tmp_path, dtype="bf16").directory
    written = (first / "model.safetensors").stat().st_mtime_ns

    assert files(objects, tmp_path, dtype="bf16").directory == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    assert AutoModelForCausalLM.from_pretrained(first).dtype == torch.bfloat16
    assert files(objects, tmp_path).directory != first
    fetched, *merged = sorted(each.name for each in first.parent.iterdir())
    assert merged == [f"{fetched}-merged-bfloat16", f"{fetched}-merged-float32"]


# what cannot be


def test_a_classifier_is_refused(objects: Objects, tmp_path: Path) -> None:
    new_version(objects, tmp_path, name="films")
    with pytest.raises(UserError, match="films@1 is of task text-classification"):
        app.application(serving({"films": "films"}), storage=objects.uri, cache_dir=str(tmp_path / "cache"))


def test_an_ensemble_is_refused() -> None:
    ensemble = {"name": "both", "members": [{"name": "a"}, {"name": "b"}]}
    with pytest.raises(ValueError, match="there is nothing to combine"):
        serving({"a": "a", "b": "b"}, ensembles=[ensemble])


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_it_says_so_before_anything_is_fetched(objects: Objects, tmp_path: Path) -> None:
    new_version(objects, tmp_path, name="writer", task=CONTINUE, golden=())
    with pytest.raises(UserError, match=r"backend\.type vllm needs vLLM: `pip install"):
        app.application(serving({"w": "writer"}), storage=objects.uri, cache_dir=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
