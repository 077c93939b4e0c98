"""Adapters of one base hold it in memory once, and answer as they do alone."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from eagleray.model.bases import Bases
from eagleray.tasks import trained
from eagleray.tasks.trained import Trained
from tests.support import tiny_models
from tests.support.adapters import adapter

CPU = torch.device("cpu")


@pytest.fixture(params=["text-classification", "causal-lm"])
def task(request: pytest.FixtureRequest) -> str:
    given: str = request.param
    return given


@pytest.fixture
def base(tmp_path: Path, task: str) -> Path:
    save: Any = tiny_models.save_encoder if task == "text-classification" else tiny_models.save_decoder
    directory: Path = save(tmp_path / "base")
    return directory


@pytest.fixture
def adapters(tmp_path: Path, base: Path, task: str) -> list[Path]:
    return [adapter(tmp_path / f"adapter-{seed}", base, task, seed=seed) for seed in (1, 2)]


def logits(model: Trained) -> torch.Tensor:
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        answer: torch.Tensor = model.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return answer


def num_bytes(*models: Trained) -> int:
    """What several models take together."""
    tensors = {
        tensor.data_ptr(): tensor.nbytes
        for model in models
        for tensor in (*model.model.parameters(), *model.model.buffers())
    }
    return sum(tensors.values())


def load(directory: Path, bases: Bases | None = None) -> Trained:
    return trained.load(directory, device=CPU, bases=bases)


def test_each_answers_as_it_does_alone(adapters: list[Path]) -> None:
    bases = Bases()
    shared = [load(directory, bases) for directory in adapters]

    answers = [logits(model) for model in shared]
    assert not torch.allclose(*answers, atol=1e-3)
    for directory, answer in zip(adapters, answers, strict=True):
        assert torch.equal(answer, logits(load(directory, Bases())))
        torch.testing.assert_close(answer, logits(load(directory)), atol=1e-5, rtol=1e-5)


def test_the_base_is_there_once(adapters: list[Path]) -> None:
    bases = Bases()
    first, second = (load(directory, bases) for directory in adapters)

    together, apart = num_bytes(first, second), num_bytes(first) + num_bytes(second)
    assert together < 0.75 * apart
    assert num_bytes(first, second) - num_bytes(first) < 0.5 * num_bytes(first)


def test_the_base_goes_with_the_last_of_them(adapters: list[Path]) -> None:
    bases = Bases()
    models = [load(directory, bases) for directory in adapters]
    base = weakref.ref(models[0].model.__dict__["shared_base"])

    models.pop()
    gc.collect()
    assert isinstance(base(), nn.Module)
    models.pop()
    gc.collect()
    assert base() is None


def test_threads_load_one_base(adapters: list[Path]) -> None:
    bases = Bases()
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda directory: load(directory, bases), adapters)

    assert first.model.__dict__["shared_base"] is second.model.__dict__["shared_base"]


def test_another_base_is_another(tmp_path: Path, base: Path, task: str, adapters: list[Path]) -> None:
    save: Any = tiny_models.save_encoder if task == "text-classification" else tiny_models.save_decoder
    other = adapter(tmp_path / "other-adapter", save(tmp_path / "other", seed=7), task, seed=1)
    bases = Bases()
    first, second = load(adapters[0], bases), load(other, bases)

    assert num_bytes(first, second) == num_bytes(first) + num_bytes(second)
