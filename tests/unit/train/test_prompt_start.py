"""A prompt begins with that of an earlier run, if that is one for the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray import methods, tasks
from eagleray.errors import UserError
from eagleray.model import export
from eagleray.model.load import load_model, load_tokenizer
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store import paths
from eagleray.store.objects import Objects, open_storage
from eagleray.train import prompt_start
from tests.support import tiny_models, training
from tests.support.records import new_run

LABELS = ("bad", "good")
KINDS = ("p_tuning_v2", "prompt_tuning")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_models.save_encoder(tmp_path / "base")


def spec_of(base: Path, **method: Any) -> FineTuneSpec:
    return training.document(base, Path("rows.jsonl"), method={"num_virtual_tokens": 4, **method}).spec


def model_of(spec: FineTuneSpec, *, seed: int, labels: tuple[str, ...] = LABELS) -> Any:
    task = tasks.build(spec.task).with_labels(labels)
    torch.manual_seed(seed)
    model = load_model(
        task.model_class(),
        source=spec.model.source,
        dtype=torch.float32,
        config_overrides=task.config_overrides(load_tokenizer(source=spec.model.source)),
    )
    return methods.apply(model, spec.method, task=task)


def earlier_run(objects: Objects, scratch: Path, spec: FineTuneSpec) -> tuple[str, Any]:
    """A run with a prompt of its own, and its model."""
    model = model_of(spec, seed=1)
    run, directory = new_run(objects, name="english").run, scratch / "trained"
    directory.mkdir()
    tokenizer = load_tokenizer(source=spec.model.source)
    weights = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    export.save(model, weights, directory, tokenizer=tokenizer, spec=spec, labels=LABELS)
    for file in directory.iterdir():
        objects.upload(f"{paths.model(run)}/{file.name}", file)
    return run, model


def learned(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("labels", "takes_head"), [(LABELS, True), (("schlecht", "gut"), False)], ids=["same labels", "other labels"]
)
def test_begins_with_what_was_learned(
    tmp_path: Path, base: Path, kind: str, labels: tuple[str, ...], takes_head: bool
) -> None:
    objects = open_storage(str(tmp_path / "runs"))
    run, first = earlier_run(objects, tmp_path, spec_of(base, type=kind))
    spec = spec_of(base, type=kind, start_from=run)
    start = prompt_start.find(objects, spec)
    assert start is not None
    second = model_of(spec, seed=2, labels=labels)

    prompt_start.begin(second, start, labels=labels)

    for name, weight in learned(first).items():
        if not name.endswith("bias"):  # that of a new head is zero, whichever
            assert torch.equal(learned(second)[name], weight) is ("prompt" in name or takes_head), name


@pytest.mark.parametrize(
    ("method", "message"),
    [
        pytest.param(
            {"type": "prompt_tuning"}, "has method.type p_tuning_v2, this document prompt_tuning", id="method"
        ),
        pytest.param({"num_virtual_tokens": 8}, "has method.num_virtual_tokens 4, this document 8", id="length"),
        pytest.param({"start_from": "french"}, "french", id="no-such-run"),
    ],
)
def test_what_cannot_be_begun_with(tmp_path: Path, base: Path, method: dict[str, Any], message: str) -> None:
    objects = open_storage(str(tmp_path / "runs"))
    run, _ = earlier_run(objects, tmp_path, spec_of(base, type="p_tuning_v2"))

    with pytest.raises(UserError, match=message):
        prompt_start.find(objects, spec_of(base, **{"type": "p_tuning_v2", "start_from": run, **method}))


def test_another_model_is_refused(tmp_path: Path, base: Path) -> None:
    objects = open_storage(str(tmp_path / "runs"))
    run, _ = earlier_run(objects, tmp_path, spec_of(base, type="p_tuning_v2"))
    other = tiny_models.save_encoder(tmp_path / "other", seed=3)

    with pytest.raises(UserError, match="a prompt is of use to its own alone"):
        prompt_start.find(objects, spec_of(other, type="p_tuning_v2", start_from=run))


def test_a_document_that_does_not_say_so_begins_anew(tmp_path: Path, base: Path) -> None:
    assert prompt_start.find(open_storage(str(tmp_path / "runs")), spec_of(base, type="p_tuning_v2")) is None
