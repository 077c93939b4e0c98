"""Which weights stay, by layer, by name and by depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray import methods
from eagleray.errors import UserError
from eagleray.methods import base
from eagleray.model.load import load_model
from eagleray.spec.method import FreezeSpec
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.text_classification import TextClassification
from tests.support import tiny_models

CLASSIFY = TextClassification("single-label", labels=("a", "b"))
BERT = ["embeddings", "layer.0", "layer.1", "pooler", "classifier"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("bert"))


def _loaded(source: Path, task: Any) -> Any:
    return load_model(task.model_class(), source=str(source), dtype=torch.float32, config_overrides={})


@pytest.mark.parametrize(
    ("options", "learning"),
    [
        ({}, ["classifier"]),
        ({"cache_features": True}, ["classifier"]),
        ({"bottom_layers": 0}, ["layer.0", "layer.1", "pooler", "classifier"]),
        ({"bottom_layers": 1}, ["layer.1", "pooler", "classifier"]),
        ({"bottom_layers": 2}, ["pooler", "classifier"]),
        ({"patterns": ("*.embeddings.*", "*pooler*")}, ["layer.0", "layer.1", "classifier"]),
        ({"patterns": ("*pooler*",), "bottom_layers": 2}, ["classifier"]),
        ({"thaw": 0.5}, BERT),
        ({"thaw": 0.5, "bottom_layers": 1}, ["layer.1", "pooler", "classifier"]),
    ],
    ids=["head", "features", "embeddings", "one", "two", "patterns", "both", "thaw all", "thaw the upper"],
)
def test_learns(encoder: Path, options: dict[str, Any], learning: list[str]) -> None:
    model = methods.apply(_loaded(encoder, CLASSIFY), FreezeSpec(type="freeze", **options), task=CLASSIFY)

    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert [part for part in BERT if any(part in name for name in names)] == learning


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bottom_layers": 3}, "3 is more than the 2 layers"),
        ({"patterns": ("*.embedings.*",)}, r"`\*.embedings.\*` matches no weight"),
        ({"patterns": ("*",)}, "nothing of BertForSequenceClassification is left to learn"),
    ],
    ids=["too many layers", "pattern", "nothing left"],
)
def test_refuses(encoder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        methods.apply(_loaded(encoder, CLASSIFY), FreezeSpec(type="freeze", **options), task=CLASSIFY)


def test_a_decoder_has_no_head_to_learn_alone(tmp_path: Path) -> None:
    task = CausalLm()

    with pytest.raises(UserError, match="a language model has no head of its own"):
        methods.apply(_loaded(tiny_models.save_decoder(tmp_path), task), FreezeSpec(type="freeze"), task=task)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bert.embeddings.w", "bert.encoder.layer.0.w", "bert.encoder.layer.11.w", "bert.pooler.w"], [0, 1, 12, 13]),
        (
            ["model.embed_tokens.w", "model.layers.0.w", "model.layers.1.w", "model.norm.w", "lm_head.w"],
            [0, 1, 2, 3, 3],
        ),
        (["shared.w", "encoder.block.0.layer.1.w", "encoder.final.w", "decoder.block.1.layer.0.w"], [0, 1, 3, 2]),
        (["a.weight", "b.weight"], [1, 1]),
        ([], []),
    ],
    ids=["encoder", "decoder", "both", "no blocks", "nothing"],
)
def test_depths(names: list[str], expected: list[int]) -> None:
    assert list(base.depths(names).values()) == expected
