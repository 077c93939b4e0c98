"""A document's dropout reaches the model, whatever its architecture calls it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import BertConfig, GPT2Config, LlamaConfig

from eagleray.errors import UserError
from eagleray.spec.train import TrainSpec
from eagleray.train import dropout


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BertConfig(), {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2, "classifier_dropout": 0.3}),
        (GPT2Config(), {"resid_pdrop": 0.3, "embd_pdrop": 0.3, "attn_pdrop": 0.2, "summary_first_dropout": 0.3}),
    ],
    ids=["BERT", "GPT-2"],
)
def test_reaches_the_config(config: Any, expected: dict[str, float]) -> None:
    found = dropout.overrides(TrainSpec(dropout=0.3, attention_dropout=0.2))

    assert {name: value for name, value in found.items() if hasattr(config, name)} == expected


def test_left_out_is_the_models_own() -> None:
    assert dropout.overrides(TrainSpec()) == {}
    assert set(dropout.overrides(TrainSpec(dropout=0.0)).values()) == {0.0}


def test_a_model_without_it_is_named() -> None:
    llama: Any = SimpleNamespace(config=LlamaConfig())

    dropout.check(llama, TrainSpec(attention_dropout=0.1))
    with pytest.raises(UserError, match=r"train\.dropout: SimpleNamespace has no such dropout"):
        dropout.check(llama, TrainSpec(dropout=0.1))
