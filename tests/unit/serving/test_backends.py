"""A task gets the same from ONNX Runtime as from PyTorch, and what is missing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray.errors import ModelSourceError
from eagleray.serving import agreement, loaded
from eagleray.serving.backends import onnx as onnx_backend
from eagleray.serving.backends import torch as torch_backend
from eagleray.spec.endpoint import OnnxBackendSpec, TorchBackendSpec
from eagleray.store.objects import open_storage
from tests.support.onnx_models import save_classifier
from tests.support.trained_runs import new_trained_run

TEXTS = ["a fine film", "x", "a mess of a plot that never ends", "", "warm and clever " * 40, "好 🙂"]

TASKS = {
    "one label": ({"type": "text-classification"}, ("bad", "good")),
    "number": ({"type": "text-classification", "problem": "regression"}, ()),
    "pairs": ({"type": "text-classification", "text_pair": "other"}, ("no", "yes")),
}


@pytest.mark.parametrize(("task", "labels"), TASKS.values(), ids=TASKS)
def test_both_answer_alike(tmp_path: Path, task: dict[str, Any], labels: tuple[str, ...]) -> None:
    directory = save_classifier(tmp_path, task=task, labels=labels)
    slow = loaded.load(directory, backend=TorchBackendSpec(type="torch"))
    rows = [{"text": text, "other": text[::-1]} for text in TEXTS]
    expected = slow.answer_all(slow.encode(rows), batch_size=4)

    for precision, within in (("fp32", 1e-5), ("int8", 0.1)):
        quick = loaded.load(directory, backend=OnnxBackendSpec(type="onnx", precision=precision), num_threads=1)
        found = quick.answer_all(quick.encode(rows), batch_size=4)
        assert max(map(agreement.distance, expected, found)) < within, precision


def test_the_threads_of_torch(tmp_path: Path) -> None:
    run = new_trained_run(open_storage("memory://"), tmp_path, task={"type": "text-classification"}, labels=("a", "b"))
    directory = tmp_path / f"model-{run}"
    before = torch.get_num_threads()
    try:
        torch_backend.load(directory, num_threads=before + 1)
        assert torch.get_num_threads() == before + 1
        torch_backend.load(directory)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_version_without_onnx_files(tmp_path: Path) -> None:
    with pytest.raises(
        ModelSourceError, match=r"registered without ONNX files. Serve it with `backend: \{type: torch\}`"
    ):
        onnx_backend.load(tmp_path / "onnx" / "model_fp32.onnx")


def test_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no graph")

    with pytest.raises(ModelSourceError, match="cannot be loaded"):
        onnx_backend.load(file)
