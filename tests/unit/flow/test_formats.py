"""What leaves the registry in another form answers as the version did, or is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import onnxruntime
import pytest
import torch

from eagleray.errors import UserError
from eagleray.flow import formats
from eagleray.flow.formats import Form
from eagleray.serving import loaded
from eagleray.spec.endpoint import TorchBackendSpec
from eagleray.store.lineage import GoldenRow
from eagleray.store.objects import open_storage
from tests.support import tiny_models
from tests.support.adapters import adapter
from tests.support.trained_runs import new_trained_run

TEXTS = ("a fine film", "cold and loud, a mess of a plot", "hello", "what is the capital of France?")
LABELS = ("bad", "good")


BOTH = {"type": "next-sentence", "with_masked_lm": True}
MULTI = {
    "type": "multi-task",
    "tasks": [
        {"name": name, "task": {"type": "text-classification"}, "data": {"train": f"{name}.jsonl"}} for name in "ab"
    ],
}


def version(scratch: Path, task: dict[str, Any], labels: tuple[str, ...] = ()) -> Path:
    return scratch / f"model-{new_trained_run(open_storage('memory://'), scratch, task=task, labels=labels)}"


def golden(directory: Path, column: str = "text") -> list[GoldenRow]:
    return answered(directory, [{column: text} for text in TEXTS])


def answered(directory: Path, raws: list[dict[str, Any]]) -> list[GoldenRow]:
    model = loaded.load(directory, backend=TorchBackendSpec(type="torch"))
    return [
        GoldenRow(input=raw, output=answer)
        for raw, answer in zip(raws, model.answer_all(model.encode(raws)), strict=True)
    ]


def write(directory: Path, to: Path, form: Form, *, int8: bool = False, column: str = "text") -> list[formats.Parity]:
    return formats.write(directory, golden(directory, column), to, form=form, int8=int8, say=lambda what: None)


def test_an_adapter_becomes_a_whole_model(tmp_path: Path) -> None:
    base = tiny_models.save_encoder(tmp_path / "base", dropout=0.0)
    [parity] = write(adapter(tmp_path / "lora", base, "text-classification", seed=1), tmp_path / "to", "safetensors")

    assert (parity.file, parity.agreement) == ("model.safetensors", 1.0)
    assert parity.max_difference < 1e-5
    assert not (tmp_path / "to" / "adapter_config.json").exists()


def test_an_encoder_becomes_onnx(tmp_path: Path) -> None:
    directory = version(tmp_path, {"type": "text-classification"}, LABELS)
    exact, rough = write(directory, tmp_path / "to", "onnx", int8=True)

    assert [each.file for each in (exact, rough)] == ["onnx/model_fp32.onnx", "onnx/model_int8.onnx"]
    assert exact.max_difference < 1e-5
    assert rough.size_bytes < exact.size_bytes
    written = {file.relative_to(tmp_path / "to").as_posix() for file in (tmp_path / "to").rglob("*") if file.is_file()}
    assert written >= {"config.json", "tokenizer.json", exact.file, rough.file}
    assert "model.safetensors" not in written


@pytest.mark.parametrize("form", ["onnx", "torch-export"])
@pytest.mark.parametrize(
    "task", [{"type": "masked-lm"}, {"type": "next-sentence"}, BOTH], ids=["words", "order", "both"]
)
def test_what_was_pretrained_answers_as_before(tmp_path: Path, task: dict[str, Any], form: Form) -> None:
    directory = version(tmp_path, task)
    raws = [{"text": f"{text} [MASK]", "text_pair": "and so on"} for text in TEXTS]
    rows = raws if task["type"] == "next-sentence" else [{"text": raw["text"]} for raw in raws]
    [parity] = formats.write(directory, answered(directory, rows), tmp_path / "to", form=form, say=lambda what: None)

    assert parity.max_difference < 1e-4
    assert parity.agreement == 1.0


def test_an_encoder_becomes_a_program(tmp_path: Path) -> None:
    directory = version(tmp_path, {"type": "text-classification"}, LABELS)
    [parity] = write(directory, tmp_path / "to", "torch-export")

    assert parity.max_difference < 1e-5
    program = torch.export.load(tmp_path / "to" / parity.file).module()
    ids = torch.arange(5, 38).reshape(3, 11)  # other sizes than any golden row has
    assert program(ids, torch.ones_like(ids)).shape == (3, 2)


@pytest.mark.parametrize("kind", ["t5", "marian"])
def test_a_seq2seq_model_becomes_two_halves(tmp_path: Path, kind: Any) -> None:
    tiny_models.save_seq2seq(tmp_path / "base", kind=kind)
    directory = version(tmp_path, {"type": "seq2seq", "max_new_tokens": 5})
    encoder, decoder = write(directory, tmp_path / "to", "onnx", column="source")

    assert (encoder.file, decoder.file) == ("onnx/encoder_fp32.onnx", "onnx/decoder_fp32.onnx")
    assert decoder.max_difference < 1e-4
    assert decoder.agreement == 1.0
    session = onnxruntime.InferenceSession(str(tmp_path / "to" / decoder.file))
    assert {entry.name for entry in session.get_inputs()} == {
        "decoder_input_ids",
        "encoder_hidden_states",
        "encoder_attention_mask",
    }


@pytest.mark.parametrize(
    ("task", "form", "message"),
    [
        pytest.param({"type": "causal-lm"}, "onnx", "a causal-lm writes token by token", id="causal-lm"),
        pytest.param({"type": "causal-lm"}, "torch-export", "a causal-lm writes token by token", id="as a program"),
        pytest.param({"type": "seq2seq"}, "torch-export", "two halves and a search: export", id="seq2seq"),
    ],
)
def test_what_is_refused(tmp_path: Path, task: dict[str, Any], form: Form, message: str) -> None:
    directory = version(tmp_path, {**task, "max_new_tokens": 2})
    rows = [GoldenRow(input={"text": "a"}, output={"text": "b"})]

    with pytest.raises(UserError, match=message):
        formats.write(directory, rows, tmp_path / "to", form=form, say=lambda what: None)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("form", ["onnx", "torch-export"])
def test_several_heads_are_refused(tmp_path: Path, form: Form) -> None:
    directory = version(tmp_path, MULTI, ("a/bad", "a/good", "b/x", "b/y"))
    rows = [GoldenRow(input={"task": "a", "text": "a film"}, output={"label": "bad"})]

    with pytest.raises(UserError, match=f"--to {form}: a file has one head and this model has several"):
        formats.write(directory, rows, tmp_path / "to", form=form, say=lambda what: None)
    assert not (tmp_path / "to").exists()


def test_texts_that_differ_are_refused(tmp_path: Path) -> None:
    kinds: tuple[Literal["t5", "marian"], ...] = ("t5", "marian")
    for kind in kinds:
        tiny_models.save_seq2seq(tmp_path / kind / "base", kind=kind)
    folders = [version(tmp_path / kind, {"type": "seq2seq", "max_new_tokens": 5}) for kind in kinds]
    before, other = (loaded.load(folder, backend=TorchBackendSpec(type="torch")) for folder in folders)
    rows = [GoldenRow(input={"source": text}, output={"text": ""}) for text in TEXTS]
    file = tmp_path / "model.safetensors"
    file.touch()

    assert formats._checked(before, before, rows, file, tmp_path, tolerance=0.0).agreement == 1.0
    with pytest.raises(UserError, match=r"model\.safetensors answers otherwise than the model: row 1: a text begins"):
        formats._checked(before, other, rows, file, tmp_path, tolerance=0.0)


def test_nothing_is_written_unchecked(tmp_path: Path) -> None:
    directory = version(tmp_path, {"type": "text-classification"}, LABELS)

    with pytest.raises(UserError, match="no golden rows to check"):
        formats.write(directory, [], tmp_path / "to", form="onnx", say=lambda what: None)
