"""text-classification: what is read from a row, what the model is given, what is minimised and what is answered."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from eagleray.tasks.problems import ProblemName
from eagleray.tasks.text_classification import TextClassification
from tests.support import tiny_models

SINGLE = TextClassification("single-label", labels=("bad", "good"))
MULTI = TextClassification("multi-label", labels=("a", "b", "c"), label_separator="|")
NUMBER = TextClassification("regression")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny_models.encoder_tokenizer()


def samples(task: TextClassification, rows: list[dict[str, Any]], tokenizer: Any, max_length: int = 64) -> list[Any]:
    columns = task.encode([task.read(row) for row in rows], tokenizer, max_length)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


SOFT = TextClassification("single-label", labels=("bad", "good"), probabilities="p")


def test_probabilities_are_learned_from_where_a_row_has_them(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"text": "dull", "label": "bad"}, {"text": "warm", "label": "good", "p": {"bad": 0.3, "good": 0.7}}]
    found = samples(SOFT, rows, tokenizer)
    batch = SOFT.collate(found, weights=np.ones(2, dtype=np.float32), pad_id=0, max_length=64)
    logits = torch.tensor([[1.0, -1.0], [0.5, 2.0]])

    loss, _ = SOFT.loss(lambda **inputs: SimpleNamespace(logits=logits), batch)

    log = logits.log_softmax(dim=-1)
    expected = -log[0, 0] - 0.3 * log[1, 0] - 0.7 * log[1, 1]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert batch["labels"].tolist() == [0, 1], "what is evaluated is the label"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param({"bad": 0.3, "good": 0.3}, "add up to 0.6, not to 1", id="sum"),
        pytest.param({"bad": 1.5}, "'bad' has 1.5: a number from 0 to 1", id="share"),
        pytest.param([0.3, 0.7], "an object {label: probability} is needed", id="list"),
        pytest.param("{bad", "text that is not JSON", id="json"),
    ],
)
def test_probabilities_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SOFT.read({"text": "a", "label": "bad", "p": value})


@pytest.mark.parametrize(
    ("value", "label"),
    [
        pytest.param("spam", "spam", id="text"),
        pytest.param(" spam ", "spam", id="white space"),
        pytest.param(3, "3", id="integer"),
        pytest.param(-1, "-1", id="negative"),
        pytest.param(3.0, "3", id="integer that a table holds as float"),
        pytest.param(True, "true", id="boolean"),
        pytest.param(False, "false", id="boolean false"),
        pytest.param("好评", "好评", id="Chinese"),
    ],
)
def test_labels_are_strings(value: Any, label: str) -> None:
    assert TextClassification("single-label").read({"text": "x", "label": value}) == {"text": "x", "label": label}


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        pytest.param(["b", "a"], ["a", "b"], id="list"),
        pytest.param(["a", "a"], ["a"], id="twice"),
        pytest.param([], [], id="no label"),
        pytest.param("a| c", ["a", "c"], id="separated text"),
        pytest.param("", [], id="empty text"),
        pytest.param('["a", "b"]', ["a", "b"], id="JSON in a table"),
        pytest.param("b", ["b"], id="one"),
    ],
)
def test_several_labels(value: Any, labels: list[str]) -> None:
    row = MULTI.read({"text": "x", "label": value})

    assert row["label"] == labels
    assert MULTI.labels_of(row) == tuple(labels)


@pytest.mark.parametrize(("value", "number"), [(2, 2.0), ("3.5", 3.5), (-1.25, -1.25)])
def test_numbers(value: Any, number: float) -> None:
    assert NUMBER.read({"text": "x", "label": value})["label"] == number


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        pytest.param(SINGLE, {"label": "good"}, "column `text` is missing", id="no text"),
        pytest.param(SINGLE, {"text": None, "label": "good"}, "column `text` is empty", id="null text"),
        pytest.param(SINGLE, {"text": " \n", "label": "good"}, "column `text` is empty", id="blank text"),
        pytest.param(SINGLE, {"text": ["x"], "label": "good"}, "holds list: text is needed", id="list as text"),
        pytest.param(SINGLE, {"text": "x"}, "column `label` is empty", id="no label"),
        pytest.param(SINGLE, {"text": "x", "label": " "}, "nothing but white space", id="blank label"),
        pytest.param(SINGLE, {"text": "x", "label": 1.5}, "a label is a string, an integer or true/false", id="float"),
        pytest.param(
            SINGLE,
            {"text": "x", "label": "goood"},
            r"`goood` is not in the label set \(bad, good\); did you mean `good`",
            id="unknown label",
        ),
        pytest.param(
            MULTI, {"text": "x", "label": ["a", "z"]}, r"`z` is not in the label set \(a, b, c\)", id="unknown"
        ),
        pytest.param(MULTI, {"text": "x", "label": None}, r"\[\] for a row without labels", id="no list"),
        pytest.param(MULTI, {"text": "x", "label": '["a"'}, "starts like a JSON list", id="broken JSON"),
        pytest.param(NUMBER, {"text": "x", "label": "high"}, "'high': regression needs a number", id="word"),
        pytest.param(NUMBER, {"text": "x", "label": "nan"}, "finite number", id="nan"),
        pytest.param(NUMBER, {"text": "x", "label": True}, "regression needs a number", id="boolean as number"),
        pytest.param(NUMBER, {"text": "x", "label": ""}, "every row needs a number", id="no number"),
    ],
)
def test_wrong_rows_say_what_is_wrong(task: TextClassification, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.read(row)


def test_a_label_outside_of_the_final_set_is_named_when_encoding(tokenizer: PreTrainedTokenizerBase) -> None:
    row = TextClassification("single-label").read({"text": "x", "label": "other"})

    with pytest.raises(ValueError, match=r"`other` is not in the label set \(bad, good\)"):
        SINGLE.encode([row], tokenizer, 16)


def test_large_label_sets_are_shortened_in_messages() -> None:
    task = TextClassification("single-label", labels=tuple(f"label-{n}" for n in range(1000)))

    with pytest.raises(ValueError, match=r"label-19, … \(1000 in all\)"):
        task.read({"text": "x", "label": "nothing like it"})


def test_input_rows_need_no_label_and_may_be_empty() -> None:
    assert SINGLE.read_input({"text": ""}) == {"text": ""}


@pytest.mark.parametrize("problem", ["single-label", "multi-label", "regression"])
def test_identity_is_the_input_alone(problem: ProblemName) -> None:
    pair = TextClassification(problem, text_pair="other")
    plain = TextClassification(problem)

    assert plain.identity({"text": "x", "label": 1}) == plain.identity({"text": "x", "label": 2})
    assert pair.identity({"text": "a", "text_pair": "bc"}) != pair.identity({"text": "ab", "text_pair": "c"})


class TestEncode:
    def test_cuts_keep_the_special_tokens_and_tell_the_full_length(self, tokenizer: PreTrainedTokenizerBase) -> None:
        rows = [{"text": "short"}, {"text": "a fine film " * 20}]

        columns = SINGLE.encode(rows, tokenizer, 8)

        short, long = columns["input_ids"]
        assert short == tokenizer("short")["input_ids"]
        assert len(long) == 8
        assert (long[0], long[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert columns["full_length"] == [len(short), len(tokenizer("a fine film " * 20)["input_ids"])]
        assert columns["num_targets"] == [0, 0]
        assert "label" not in columns

    def test_pairs_carry_types(self, tokenizer: PreTrainedTokenizerBase) -> None:
        task = TextClassification("single-label", labels=("no", "yes"), text_pair="other")
        rows = [task.read({"text": "a film " * n, "other": "a plot " * 9, "label": "yes"}) for n in (1, 9)]

        columns = task.encode(rows, tokenizer, 16)

        assert [len(ids) for ids in columns["input_ids"]] == [len(types) for types in columns["token_type_ids"]]
        assert all(set(types) == {0, 1} for types in columns["token_type_ids"])
        assert columns["label"] == [1, 1]

    def test_no_rows(self, tokenizer: PreTrainedTokenizerBase) -> None:
        assert SINGLE.encode([], tokenizer, 16)["input_ids"] == []


class TestLoss:
    """The sum over rows of what torch computes for each, filler apart."""

    LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [9.0, 9.0, 9.0]])
    WEIGHTS = np.array([1.0, 1.0, 0.0], dtype=np.float32)  # the last row is filler

    def computed(
        self, task: TextClassification, labels: list[Any], tokenizer: Any, **options: float
    ) -> tuple[float, float]:
        rows = [{"text": "a film", "label": label} for label in labels]
        batch = task.collate(samples(task, rows, tokenizer), weights=self.WEIGHTS, pad_id=0, max_length=64)
        loss, _ = task.loss(lambda **inputs: SimpleNamespace(logits=self.LOGITS), batch, **options)
        return loss.item(), task.num_targets(batch)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_single_label(self, tokenizer: PreTrainedTokenizerBase, smoothing: float) -> None:
        task = TextClassification("single-label", labels=("a", "b", "c"))

        loss, num_targets = self.computed(task, ["a", "c", "b"], tokenizer, label_smoothing=smoothing)

        logs = self.LOGITS.log_softmax(-1)
        expected = -sum(
            (1 - smoothing) * logs[row, label] + smoothing * logs[row].mean() for row, label in ((0, 0), (1, 2))
        )
        assert loss == pytest.approx(float(expected), rel=1e-6)
        assert num_targets == 2.0

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_multi_label_is_a_mean_within_a_row(self, tokenizer: PreTrainedTokenizerBase, smoothing: float) -> None:
        loss, num_targets = self.computed(MULTI, [["a"], ["b", "c"], []], tokenizer, label_smoothing=smoothing)

        targets = torch.tensor([[1.0, 0, 0], [0, 1, 1]]) * (1 - smoothing) + smoothing / 2
        chances = self.LOGITS[:2].sigmoid()
        expected = -(targets * chances.log() + (1 - targets) * (1 - chances).log()).mean(dim=1).sum()
        assert loss == pytest.approx(expected.item(), rel=1e-6)
        assert num_targets == 2.0

    def test_regression(self, tokenizer: PreTrainedTokenizerBase) -> None:
        rows = [{"text": "x", "label": value} for value in (1.5, -2.0, 4.0)]
        batch = NUMBER.collate(samples(NUMBER, rows, tokenizer), weights=self.WEIGHTS, pad_id=0, max_length=64)

        loss, _ = NUMBER.loss(lambda **inputs: SimpleNamespace(logits=self.LOGITS[:, :1]), batch)

        assert loss.item() == pytest.approx((2.0 - 1.5) ** 2 + (0.1 + 2.0) ** 2)

    def test_regression_refuses_smoothing(self, tokenizer: PreTrainedTokenizerBase) -> None:
        with pytest.raises(ValueError, match="no meaning for regression"):
            NUMBER.loss(
                lambda **inputs: SimpleNamespace(logits=torch.zeros(1, 1)),
                {"labels": torch.zeros(1), "weights": torch.ones(1)},
                label_smoothing=0.1,
            )

    def test_half_precision_logits_are_summed_in_fp32(self, tokenizer: PreTrainedTokenizerBase) -> None:
        batch = SINGLE.collate(
            samples(SINGLE, [{"text": "x", "label": "bad"}], tokenizer), weights=np.ones(1), pad_id=0, max_length=8
        )
        half = SimpleNamespace(logits=torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16))

        loss, logits = SINGLE.loss(lambda **inputs: half, batch)

        assert (loss.dtype, logits.dtype) == (torch.float32, torch.float32)


def test_batches_are_masked_by_length(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"text": "a", "label": "bad"}, {"text": "a fine film", "label": "good"}]
    both = samples(SINGLE, rows, tokenizer)

    batch = SINGLE.collate(both, weights=np.ones(2), pad_id=7, max_length=64)

    lengths = [len(sample["input_ids"]) for sample in both]
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    assert set(batch["input_ids"][0, lengths[0] :].tolist()) == {7}
    assert batch["labels"].tolist() == [0, 1]


def test_packing_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="cannot be packed"):
        SINGLE.collate([{"input_ids": [1]}], weights=np.ones(1), pad_id=0, packed=True, max_length=8)


@pytest.mark.parametrize(
    ("task", "logits", "answer"),
    [
        pytest.param(
            SINGLE, [0.0, math.log(3)], {"label": "good", "probabilities": {"bad": 0.25, "good": 0.75}}, id="single"
        ),
        pytest.param(
            MULTI,
            [0.0, math.log(3), -50.0],
            {"labels": ["b"], "probabilities": {"a": 0.5, "b": 0.75, "c": 0.0}},
            id="multi",
        ),
        pytest.param(NUMBER, [1.25], {"value": 1.25}, id="number"),
    ],
)
def test_answers(task: TextClassification, logits: list[float], answer: dict[str, Any], tokenizer: Any) -> None:
    batch = {"input_ids": torch.tensor([[1]]), "attention_mask": torch.tensor([[1]])}

    found = task.predict(lambda **inputs: SimpleNamespace(logits=torch.tensor([logits])), tokenizer, batch)

    assert found == [answer]
