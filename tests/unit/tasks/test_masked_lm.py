"""masked-lm: which tokens are hidden, that it does not depend on workers or restarts, and what fills a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerBase

from eagleray.errors import UserError
from eagleray.tasks import masking
from eagleray.tasks.masked_lm import MaskedLm
from tests.support import tiny_models

TEXTS = ("a fine and moving film", "warm", "what is the capital of France? Paris", "a mess of a plot, cold and loud")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny_models.encoder_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerBase) -> BertForMaskedLM:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return BertForMaskedLM(config).eval()


def samples(task: MaskedLm, tokenizer: Any, *, draw: tuple[int, int] | None = (0, 0)) -> list[dict[str, Any]]:
    columns = task.encode([task.read({"text": text}) for text in TEXTS], tokenizer, 64)
    each = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    drawn = {} if draw is None else {"draw": draw}
    return [{"index": index} | sample | drawn for index, sample in enumerate(each)]


def collated(task: MaskedLm, encoded: list[dict[str, Any]], weights: Any = None) -> dict[str, torch.Tensor]:
    given = np.ones(len(encoded), dtype=np.float32) if weights is None else weights
    return task.collate(encoded, weights=given, pad_id=0, max_length=64)


class TestHiding:
    VOCABULARY = masking.Vocabulary("[MASK]", 4, 1_000)

    def hide(self, size: int, *draw: Any, share: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
        ids = np.arange(100, 100 + size)
        return masking.hide(ids, np.arange(size), share=share, vocabulary=self.VOCABULARY, draw=draw)

    def test_a_share_of_the_tokens(self) -> None:
        ids = np.arange(100, 2_100)
        seen, hidden = self.hide(2_000, 1)

        assert hidden.sum() == 300
        assert (seen[~hidden] == ids[~hidden]).all()
        masked = (seen[hidden] == 4).mean()
        kept = (seen[hidden] == ids[hidden]).mean()
        assert masked == pytest.approx(0.8, abs=0.06)
        assert kept == pytest.approx(0.1, abs=0.05)

    def test_one_at_least(self) -> None:
        assert self.hide(1, 1)[1].sum() == 1

    def test_a_row_of_special_tokens_has_none(self) -> None:
        _, hidden = masking.hide(
            np.array([2, 3]), np.array([-1, -1]), share=0.5, vocabulary=self.VOCABULARY, draw=("x",)
        )
        assert not hidden.any()

    def test_units_are_hidden_whole(self) -> None:
        units = np.array([-1, 0, 0, 1, 2, 2, 2, 3, 4, 4, -1])
        for number in range(20):
            _, hidden = masking.hide(np.arange(11), units, share=0.4, vocabulary=self.VOCABULARY, draw=(number,))
            assert all(len(set(hidden[units == unit])) == 1 for unit in range(5))
            assert not hidden[units == -1].any()


class TestSamples:
    def test_special_tokens_are_no_targets(self, tokenizer: PreTrainedTokenizerBase) -> None:
        columns = MaskedLm().encode([{"text": "a fine film"}], tokenizer, 64)

        ids, units = columns["input_ids"][0], columns["unit"][0]
        assert [unit == masking.NOT_HIDDEN for unit in units] == [True, *[False] * (len(ids) - 2), True]
        assert columns["num_targets"] == [len(ids) - 2]

    def test_words_are_units(self, tokenizer: PreTrainedTokenizerBase) -> None:
        columns = MaskedLm(whole_words=True).encode([{"text": "unheard moving"}], tokenizer, 64)

        assert sorted(set(columns["unit"][0])) == [-1, 0, 1]
        assert len(columns["unit"][0]) > 4

    def test_without_a_mask_token_it_is_refused(self) -> None:
        with pytest.raises(UserError, match="has no mask token"):
            MaskedLm().bound_to(tiny_models.decoder_tokenizer())


class TestBatches:
    def test_a_sample_is_the_same_in_any_company(self, tokenizer: PreTrainedTokenizerBase) -> None:
        task = MaskedLm().bound_to(tokenizer)
        encoded = samples(task, tokenizer)
        together = collated(task, encoded)

        for row, sample in enumerate(encoded):
            alone, length = collated(task, [sample]), len(sample["input_ids"])
            assert together["input_ids"][row, :length].tolist() == alone["input_ids"][0].tolist()
            assert together["target_weights"][row, :length].tolist() == alone["target_weights"][0].tolist()

    @pytest.mark.parametrize(
        ("one", "other", "is_same"),
        [((3, 0), (3, 0), True), ((3, 0), (3, 1), False), ((3, 0), (4, 0), False), (None, None, True)],
        ids=["same epoch", "next epoch", "other seed", "evaluation"],
    )
    def test_epochs_hide_other_tokens(
        self, one: Any, other: Any, is_same: bool, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        task = MaskedLm(mask_share=0.4).bound_to(tokenizer)

        batches = [collated(task, samples(task, tokenizer, draw=draw)) for draw in (one, other)]

        assert torch.equal(batches[0]["target_weights"], batches[1]["target_weights"]) is is_same

    def test_loss_is_the_sum_over_hidden_tokens(
        self, model: BertForMaskedLM, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        task = MaskedLm(mask_share=0.4).bound_to(tokenizer)
        batch = collated(task, samples(task, tokenizer), np.array([1, 0, 1, 1], dtype=np.float32))

        loss, logits = task.loss(model, batch)

        whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        each = functional.cross_entropy(whole.flatten(0, 1), batch["targets"].flatten(), reduction="none")
        assert loss.item() == pytest.approx((each @ batch["target_weights"].flatten()).item(), rel=1e-5)
        assert task.num_targets(batch) == len(logits) == batch["target_weights"].sum()
        means = task.row_losses(logits, batch)
        assert means is not None
        assert means[1].item() == 0.0


class TestPredict:
    def test_gaps_are_filled(self, model: BertForMaskedLM, tokenizer: PreTrainedTokenizerBase) -> None:
        task = MaskedLm(num_fillings=3).bound_to(tokenizer)
        texts = ["a [MASK] film, [MASK] and loud", "no gap"]
        columns = task.encode([task.read_input({"text": text}) for text in texts], tokenizer, 64)
        encoded = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

        with torch.inference_mode():
            answers = task.predict(model, tokenizer, collated(task, encoded))

        assert [len(answer["fillings"]) for answer in answers] == [2, 0]
        assert "[MASK]" not in answers[0]["text"]
        assert answers[1]["text"].strip() == "no gap"
        assert all(0 < probability <= 1 for gap in answers[0]["fillings"] for probability in gap.values())

    def test_a_row_is_asked_with_its_middle_word_hidden(self, tokenizer: PreTrainedTokenizerBase) -> None:
        assert MaskedLm().bound_to(tokenizer).asked({"text": "a fine film"}) == {"text": "a [MASK] film"}
