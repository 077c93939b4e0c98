"""An ONNX file computes what PyTorch does, for other rows and lengths than it was exported with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from eagleray.model import onnx, quiet
from eagleray.model.ensemble import Ensemble
from eagleray.serving.backends import onnx as backend
from tests.support import tiny_models
from tests.support.onnx_models import example


@pytest.fixture(scope="module", params=[False, True], ids=["texts", "pairs"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Path]:
    directory = tmp_path_factory.mktemp("onnx")
    model = classifier(directory / "base")
    onnx.export(model, example(pair=request.param), directory / "model_fp32.onnx")
    onnx.quantise(directory / "model_fp32.onnx", directory / "model_int8.onnx")
    return model, directory


def classifier(directory: Path) -> PreTrainedModel:
    quiet.silence()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_models.save_encoder(directory), num_labels=3)
    # A head of the size that learning gives it: that of a new one hides what differs.
    nn.init.normal_(model.classifier.weight, std=1.0)
    return model.eval()


def batch(model: PreTrainedModel, *, rows: int, length: int, pair: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows * 1000 + length)
    ids = torch.randint(5, model.config.vocab_size, (rows, length), generator=generator)
    mask = (torch.arange(length) < torch.randint(1, length + 1, (rows, 1), generator=generator)).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    return {**inputs, "token_type_ids": (torch.arange(length) > 2).long().expand(rows, length)} if pair else inputs


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-5), ("int8", 0.1)])
@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 9), (2, 8), (3, 64), (7, 127)])
def test_it_computes_the_same(
    exported: tuple[PreTrainedModel, Path], precision: str, within: float, rows: int, length: int
) -> None:
    model, directory = exported
    quick = backend.load(directory / f"model_{precision}.onnx", num_threads=1)
    inputs = batch(model, rows=rows, length=length, pair="token_type_ids" in quick.names)

    with torch.inference_mode():
        expected = model(**inputs).logits.softmax(-1)

    torch.testing.assert_close(quick(**inputs).logits.softmax(-1), expected, atol=within, rtol=0)


def test_the_model_stays_as_it_was(exported: tuple[PreTrainedModel, Path]) -> None:
    model, _ = exported

    assert model.config._attn_implementation == "sdpa"


def test_each_member_of_an_ensemble_computes_plainly_and_stays_as_it_was(tmp_path: Path) -> None:
    members = [classifier(tmp_path / "base"), classifier(tmp_path / "base")]
    joint = Ensemble(members, weights=[1, 1], combine="mean", output="label")

    with onnx.plain_attention(joint):
        assert [member.config._attn_implementation for member in members] == ["eager", "eager"]

    assert [member.config._attn_implementation for member in members] == ["sdpa", "sdpa"]


def test_it_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx.export(classifier(tmp_path / "base"), example(), tmp_path / "model.onnx")
    onnx.quantise(tmp_path / "model.onnx", tmp_path / "small.onnx")

    assert capfd.readouterr().err == ""


class Branches(nn.Module):
    """What it does depends on the values it is given."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return input_ids if input_ids.sum().item() > attention_mask.sum().item() else attention_mask


class Huge(nn.Module):
    """Three GiB of weights that take no memory."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * 2**28, device="meta"))


@pytest.mark.parametrize(
    ("model", "says"),
    [pytest.param(Branches(), "torch.onnx.export", id="branches"), pytest.param(Huge(), "3.0 GiB", id="too large")],
)
def test_what_cannot_be_exported(model: nn.Module, says: str, tmp_path: Path) -> None:
    with pytest.raises(onnx.NotExportable, match=says):
        onnx.export(model, example(), tmp_path / "model.onnx")
