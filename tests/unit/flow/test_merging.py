"""An adapter merged into its base is a model that transformers alone loads, and answers the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from eagleray.errors import UserError
from eagleray.flow.merging import merge
from eagleray.model import description, virtual_tokens
from eagleray.model.description import EnsembleRecord
from eagleray.tasks import trained
from tests.support import tiny_models
from tests.support.adapters import adapter

INPUTS = {"input_ids": torch.arange(5, 15)[None], "attention_mask": torch.ones(1, 10, dtype=torch.int64)}


def test_whole_model_answers_as_its_adapter(tmp_path: Path) -> None:
    base = tiny_models.save_encoder(tmp_path / "base", dropout=0.0)
    directory = adapter(tmp_path / "adapter", base, "text-classification", seed=1)
    expected = trained.load(directory, device=torch.device("cpu")).model(**INPUTS).logits

    merge(directory, tmp_path / "whole")

    assert not (tmp_path / "whole" / "adapter_config.json").exists()
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole").eval()
    torch.testing.assert_close(whole(**INPUTS).logits, expected)
    again = trained.load(tmp_path / "whole", device=torch.device("cpu"))
    torch.testing.assert_close(again.model(**INPUTS).logits, expected)


def test_a_prompt_is_refused(tmp_path: Path) -> None:
    base = tiny_models.save_encoder(tmp_path / "base", dropout=0.0)
    method = {"type": "p_tuning_v2", "num_virtual_tokens": 4}
    directory = adapter(tmp_path / "prompt", base, "text-classification", seed=1, method=method)

    assert virtual_tokens.is_prompt(trained.load(directory, device=torch.device("cpu")).model)
    with pytest.raises(UserError, match="merged into no weight"):
        merge(directory, tmp_path / "whole")


def test_an_ensemble_is_refused(tmp_path: Path) -> None:
    base = tiny_models.save_encoder(tmp_path / "base", dropout=0.0)
    whole = adapter(tmp_path / "whole", base, "text-classification", seed=0)
    (whole / "members").mkdir()
    for seed in (1, 2):
        adapter(whole / "members" / str(seed), base, "text-classification", seed=seed)
    members = EnsembleRecord(members=("members/1", "members/2"), weights=(1.0, 1.0), combine="mean", output="label")
    description.write(whole, description.read(whole).model_copy(update={"ensemble": members}))

    with pytest.raises(UserError, match=r"an ensemble of 2 models is no single one: .*--combine soup"):
        merge(whole, tmp_path / "to")
    assert not (tmp_path / "to").exists()
