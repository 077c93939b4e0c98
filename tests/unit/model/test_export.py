"""What is saved is loaded again the same: by eagleray, by transformers and by peft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from eagleray import methods, tasks
from eagleray.errors import ModelSourceError
from eagleray.model import description, export
from eagleray.model.load import load_model, load_tokenizer
from eagleray.spec.finetune import FineTuneSpec
from eagleray.tasks import preprocessing, trained
from tests.support import tiny_images, tiny_models

LABELS = ("bad", "good")
CPU = torch.device("cpu")
TASKS = {"encoder": {"type": "text-classification"}, "llama": {"type": "causal-lm"}, "gpt2": {"type": "causal-lm"}}
METHODS = {"full": {"type": "full"}, "lora": {"type": "lora", "rank": 2}}


def spec_of(source: Path, *, kind: str, method: str) -> FineTuneSpec:
    document = {
        "model": {"source": str(source)},
        "task": TASKS[kind],
        "data": {"train": "train.jsonl", "max_length": 32},
        "method": METHODS[method],
    }
    return FineTuneSpec.model_validate_json(json.dumps(document))


def changed_model(spec: FineTuneSpec, tokenizer: PreTrainedTokenizerBase) -> Any:
    """A model after a step that moved everything that learns."""
    task = tasks.build(spec.task).with_labels(LABELS)
    torch.manual_seed(1)
    model = load_model(
        task.model_class(),
        source=spec.model.source,
        dtype=torch.float32,
        config_overrides=task.config_overrides(tokenizer),
    )
    adapted = methods.apply(model, spec.method, task=task).eval()
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    return adapted


def saved(tmp_path: Path, *, kind: str, method: str) -> tuple[Any, Path]:
    """The changed model, and the directory with what was saved of it: as rank 0 does, from gathered weights."""
    source = tmp_path / "base"
    if kind == "encoder":
        tiny_models.save_encoder(source, dropout=0.0)
    else:
        tiny_models.save_decoder(source, kind="gpt2" if kind == "gpt2" else "llama")
    spec = spec_of(source, kind=kind, method=method)
    tokenizer = load_tokenizer(source=str(source))
    model = changed_model(spec, tokenizer)
    names = set(export.saved_names(model))
    gathered = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}
    for tied in ("lm_head.weight",):  # the engine gathers tied weights once
        gathered.pop(tied, None)
    directory = tmp_path / "saved"
    directory.mkdir()
    export.save(model, gathered, directory, tokenizer=tokenizer, spec=spec, labels=LABELS if kind == "encoder" else ())
    return model, directory


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = model(input_ids=torch.arange(5, 15)[None]).logits
    return result


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("method", METHODS)
class TestRoundTrip:
    def test_a_trained_model_answers_as_before_it_was_saved(self, kind: str, method: str, tmp_path: Path) -> None:
        model, directory = saved(tmp_path, kind=kind, method=method)

        loaded = trained.load(directory, device=CPU)

        torch.testing.assert_close(logits(loaded.model), logits(model), rtol=1e-4, atol=1e-5)
        assert loaded.max_length == 32
        assert loaded.task.labels == (LABELS if kind == "encoder" else ())
        assert not loaded.model.training

    def test_weights_go_back_under_the_names_of_the_model(self, kind: str, method: str, tmp_path: Path) -> None:
        model, directory = saved(tmp_path, kind=kind, method=method)

        weights = export.engine_names(model, load_file(export.weights_file(directory)))

        own = model.state_dict()
        assert set(weights) == set(export.saved_names(model)) - {"lm_head.weight"}
        assert all(torch.equal(tensor, own[name]) for name, tensor in weights.items())


def test_transformers_loads_what_was_saved(tmp_path: Path) -> None:
    model, directory = saved(tmp_path, kind="encoder", method="full")

    plain = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()

    assert torch.equal(logits(plain), logits(model))
    assert plain.config.id2label == dict(enumerate(LABELS))


def test_peft_loads_what_was_saved(tmp_path: Path) -> None:
    model, directory = saved(tmp_path, kind="encoder", method="lora")

    plain = AutoPeftModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()

    torch.testing.assert_close(logits(plain), logits(model))
    size = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    assert size < (tmp_path / "base" / "model.safetensors").stat().st_size / 4, "the adapter alone is saved"


def test_an_adapter_refuses_another_base(tmp_path: Path) -> None:
    _, directory = saved(tmp_path, kind="encoder", method="lora")
    file = tmp_path / "base" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})

    with pytest.raises(ModelSourceError, match="has changed since the adapter was trained on it"):
        trained.load(directory, device=CPU)


def test_an_adapter_needs_its_base(tmp_path: Path) -> None:
    _, directory = saved(tmp_path, kind="encoder", method="lora")
    (tmp_path / "base").rename(tmp_path / "gone")

    with pytest.raises(ModelSourceError, match="no such file or directory"):
        trained.load(directory, device=CPU)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "eagleray.json is missing", id="missing"),
        pytest.param('{"format": 2}', "another version of eagleray", id="another format"),
        pytest.param("{", "another version of eagleray, or changed", id="broken"),
    ],
)
def test_descriptions(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / description.FILE).write_text(content)

    with pytest.raises(ModelSourceError, match=message):
        description.read(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model, _ = saved(tmp_path, kind="encoder", method="full")

    with pytest.raises(ModelSourceError, match=r"1 weights belong to another model, the first is other\.weight"):
        export.engine_names(model, {"other.weight": torch.zeros(1)})


def test_model_card(tmp_path: Path) -> None:
    spec = spec_of(tiny_models.save_encoder(tmp_path), kind="encoder", method="lora")
    metrics = {"validation": {"accuracy": 0.91234, "confusion_matrix": [[1, 0], [0, 1]]}, "test": {"num_tokens": 7}}

    card = export.model_card(run="films-0001", spec=spec, metrics=metrics, step=40)

    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "peft"
    assert "| validation | accuracy | 0.9123 |" in body
    assert "| test | num_tokens | 7 |" in body
    assert "confusion_matrix" not in body
    assert "eagleray predict films-0001" in body


@pytest.mark.parametrize(("kind", "method"), [("vit", "full"), ("vit", "lora"), ("resnet", "full")])
def test_models_of_images(kind: Any, method: str, tmp_path: Path) -> None:
    """Vision transformers have other names in files than in memory, and images a reader instead of a tokenizer."""
    source = tiny_images.save_model(tmp_path / "base", kind=kind)
    document = {
        "model": {"source": str(source)},
        "task": {"type": "image-classification"},
        "data": {"train": "pictures"},
        "method": METHODS[method],
    }
    spec = FineTuneSpec.model_validate_json(json.dumps(document))
    reader = preprocessing.load(tasks.build(spec.task), source=str(source))
    model = changed_model(spec, reader)
    names = set(export.saved_names(model))
    gathered = {name: tensor.clone() for name, tensor in model.state_dict().items() if name in names}
    directory = tmp_path / "saved"
    directory.mkdir()

    export.save(model, gathered, directory, tokenizer=reader, spec=spec, labels=LABELS)

    read = export.engine_names(model, load_file(export.weights_file(directory)))
    assert read.keys() == names
    assert all(torch.equal(tensor, gathered[name]) for name, tensor in read.items())
    loaded = trained.load(directory, device=CPU)
    assert loaded.tokenizer == reader
    pixels = torch.randn(2, 3, tiny_images.SIZE, tiny_images.SIZE)
    with torch.inference_mode():
        expected = model(pixel_values=pixels).logits
        torch.testing.assert_close(loaded.model(pixel_values=pixels).logits, expected, rtol=1e-4, atol=1e-5)
