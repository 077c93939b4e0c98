"""next-sentence: which pairs are made of rows, and that both losses are means over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import BertConfig, BertForNextSentencePrediction, BertForPreTraining, PreTrainedTokenizerBase

from eagleray.errors import UserError
from eagleray.tasks import sentence_pairs
from eagleray.tasks.next_sentence import NextSentence
from tests.support import tiny_models

ROWS = [{"sentences": [f"film {row} is fine", f"scene {row} is dull", f"end {row} is warm"]} for row in range(40)]
TASK = NextSentence()
MASKED = NextSentence(with_masked_lm=True, mask_share=0.4)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny_models.encoder_tokenizer()


def config(tokenizer: PreTrainedTokenizerBase) -> BertConfig:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertConfig(vocab_size=len(tokenizer), **sizes)


def samples(task: NextSentence, rows: list[dict[str, Any]], tokenizer: Any) -> list[dict[str, Any]]:
    columns = task.encode(rows, tokenizer, 64)
    each = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [{"index": index, "draw": (0, 0)} | sample for index, sample in enumerate(each)]


class TestPairs:
    def test_half_of_the_second_sentences_are_of_another_row(self) -> None:
        pairs = sentence_pairs.drawn([row["sentences"] for row in ROWS], seed=0)

        assert len(pairs) == 2 * len(ROWS)
        assert sum(pair.is_next for pair in pairs) / len(pairs) == pytest.approx(0.5, abs=0.15)
        for pair in pairs:
            row = ROWS[pair.row]["sentences"]
            follows = row[row.index(pair.first) + 1]
            assert (pair.second == follows) is pair.is_next
            assert pair.is_next or pair.second not in row

    def test_they_follow_from_rows_and_seed(self) -> None:
        rows = [row["sentences"] for row in ROWS]

        assert sentence_pairs.drawn(rows, seed=0) == sentence_pairs.drawn(rows, seed=0)
        assert sentence_pairs.drawn(rows, seed=0) != sentence_pairs.drawn(rows, seed=1)

    @pytest.mark.parametrize("length", [1, 2, 3, 9])
    def test_of_a_row_alone_a_sentence_takes_the_place_that_is_neither(self, length: int) -> None:
        row = [f"sentence {number}" for number in range(length)]
        pairs = sentence_pairs.drawn([row], seed=3)

        assert len(pairs) == length - 1
        assert all(pair.is_next or pair.second not in (pair.first,) for pair in pairs)
        assert length > 2 or all(pair.is_next for pair in pairs)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            pytest.param("One. Two! Three?", ["One.", "Two!", "Three?"], id="marks"),
            pytest.param("One\n\nTwo", ["One", "Two"], id="lines"),
            pytest.param("好。坏！", ["好。", "坏！"], id="Chinese"),  # noqa: RUF001
            pytest.param("3.5 stars", ["3.5 stars"], id="a dot within a number"),
        ],
    )
    def test_sentences_of_a_text(self, text: str, found: list[str]) -> None:
        assert sentence_pairs.sentences(text) == found


class TestRows:
    @pytest.mark.parametrize(
        ("task", "raw", "row"),
        [
            pytest.param(TASK, {"sentences": ["a", "b"]}, {"sentences": ["a", "b"]}, id="sentences"),
            pytest.param(TASK, {"sentences": '["a", "b"]'}, {"sentences": ["a", "b"]}, id="sentences as JSON text"),
            pytest.param(NextSentence("document"), {"text": "A. B."}, {"sentences": ["A.", "B."]}, id="document"),
            pytest.param(NextSentence("pairs"), {"text": "a", "text_pair": "b"}, {"sentences": ["a", "b"]}, id="pair"),
            pytest.param(
                NextSentence("pairs", label="label"),
                {"text": "a", "text_pair": "b", "label": False},
                {"text": "a", "text_pair": "b", "label": "random"},
                id="pair with a label",
            ),
        ],
    )
    def test_rows(self, task: NextSentence, raw: dict[str, Any], row: dict[str, Any]) -> None:
        assert task.read(raw) == row

    @pytest.mark.parametrize(
        ("task", "raw", "message"),
        [
            (TASK, {"sentences": "a b"}, "must hold a list of sentences"),
            (TASK, {"sentences": ["a", " "]}, "none of them empty"),
            (NextSentence("pairs", label="label"), {"text": "a", "text_pair": "b", "label": "x"}, "`next` or `random`"),
        ],
        ids=["no list", "empty sentence", "other label"],
    )
    def test_wrong_rows(self, task: NextSentence, raw: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            task.read(raw)

    def test_samples_say_their_row(self, tokenizer: PreTrainedTokenizerBase) -> None:
        assert TASK.encode(ROWS[:3], tokenizer, 64)["row"] == [0, 0, 1, 1, 2, 2]
        labelled = [
            {"text": "a", "text_pair": "b", "label": "random"},
            {"text": "a", "text_pair": "c", "label": "next"},
        ]
        assert NextSentence("pairs", label="label").encode(labelled, tokenizer, 64)["label"] == [1, 0]


class TestLoss:
    def test_alone(self, tokenizer: PreTrainedTokenizerBase) -> None:
        model = BertForNextSentencePrediction(config(tokenizer)).eval()
        batch = TASK.collate(
            samples(TASK, ROWS[:2], tokenizer),
            weights=np.array([1, 1, 0, 1], dtype=np.float32),
            pad_id=0,
            max_length=64,
        )
        loss, logits = TASK.loss(model, batch)

        each = functional.cross_entropy(logits, batch["labels"], reduction="none")
        assert loss.item() == pytest.approx(each[[0, 1, 3]].sum().item())

    def test_with_words_it_is_the_sum_of_both_means(self, tokenizer: PreTrainedTokenizerBase) -> None:
        task = MASKED.bound_to(tokenizer)
        model = BertForPreTraining(config(tokenizer)).eval()
        encoded = samples(task, ROWS[:2], tokenizer)
        weights = np.array([1, 1, 0, 1], dtype=np.float32)
        batch = task.collate(encoded, weights=weights, pad_id=0, max_length=64)

        loss, logits = task.loss(model, batch)
        metrics = task.new_metrics()
        metrics.update(loss.item(), logits, batch)

        output = model(**{n: batch[n] for n in ("input_ids", "attention_mask", "token_type_ids")})
        expected, words = 0.0, 0.0
        for row in (0, 1, 3):
            hidden = batch["is_hidden"][row] > 0
            of_row = functional.cross_entropy(output.prediction_logits[row][hidden], batch["targets"][row][hidden])
            words += of_row.item() * int(hidden.sum())
            relation = functional.cross_entropy(output.seq_relationship_logits[row], batch["labels"][row])
            expected += of_row.item() + relation.item()
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        measured = metrics.compute()
        assert measured["loss"] == pytest.approx(expected / 3, rel=1e-5)
        assert np.log(measured["perplexity"]) == pytest.approx(words / measured["num_tokens"], rel=1e-5)
        means = task.row_losses(logits, batch)
        assert means is not None
        assert means[[0, 1, 3]].sum().item() == pytest.approx(expected, rel=1e-5)

    def test_a_head_without_the_relation_is_refused(self, tokenizer: PreTrainedTokenizerBase) -> None:
        model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
        batch = TASK.collate(
            samples(TASK, ROWS[:1], tokenizer), weights=np.ones(2, dtype=np.float32), pad_id=0, max_length=64
        )
        del batch["token_type_ids"]
        with pytest.raises(UserError, match="says nothing of the next sentence"):
            TASK.loss(model, batch)


def test_predict(tokenizer: PreTrainedTokenizerBase) -> None:
    model = BertForNextSentencePrediction(config(tokenizer)).eval()
    rows = [TASK.read_input({"text": "a", "text_pair": "b"})]

    answers = TASK.predict(
        model,
        tokenizer,
        TASK.collate(
            [
                {k: v for k, v in sample.items() if k not in ("index", "draw")}
                for sample in samples(TASK, rows, tokenizer)
            ],
            weights=np.ones(1, dtype=np.float32),
            pad_id=0,
            max_length=64,
        ),
    )

    assert set(answers[0]["probabilities"]) == {"next", "random"}
