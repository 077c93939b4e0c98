"""Back-translation with two tiny models of random weights: it runs, is plumbed, and is the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from eagleray.data.augment.translation import BackTranslation
from eagleray.errors import DataError

WORDS = ["<pad>", "</s>", "<unk>", "warm", "slow", "film", "好", "看", "👍"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("t5")
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    fast.save_pretrained(directory)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(directory)
    return str(directory)


def translation(there: str, back: str, *, rounds: int = 1, batch_size: int = 2) -> BackTranslation:
    return BackTranslation(there=there, back=back, rounds=rounds, beams=1, max_new_tokens=6, batch_size=batch_size)


def test_every_text_comes_back_in_its_place(model: str) -> None:
    texts = ["warm film", "slow", "好 看 👍", "film film film warm"]
    found = translation(model, model)(texts)
    assert len(found) == 4
    assert all(found)
    assert found == translation(model, model, batch_size=1)(texts)


def test_rounds_go_on_from_the_text_before(model: str) -> None:
    once = translation(model, model)
    assert translation(model, model, rounds=2)(["warm film"]) == once(once(["warm film"]))


def test_a_model_that_is_none_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(DataError, match="cannot be loaded as a model that turns a text into a text"):
        translation(str(tmp_path), model)
