"""Words and spans become tagged tokens, in windows where they are long, and tags become spans again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.errors import UserError
from eagleray.metrics.entities import tags_of
from eagleray.tasks.base import Batch, Row
from eagleray.tasks.token_classification import TokenClassification
from tests.support import tiny_models

TOKENIZER = tiny_models.encoder_tokenizer()
LABELS = ("film", "place")
WORDS = TokenClassification(labels=LABELS)
SPANS = TokenClassification(format="spans", labels=LABELS)
BIOES = TokenClassification(scheme="bioes", labels=LABELS)
SENTENCE = ["the", "capital", "of", "France", "is", "Paris"]
TAGS = ["O", "O", "O", "B-place", "O", "B-place"]


def batch_of(task: TokenClassification, rows: list[Row], *, max_length: int = 128) -> Batch:
    columns = task.encode(rows, TOKENIZER, max_length)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    weights = np.ones(len(samples), dtype=np.float32)
    return task.collate(samples, weights=weights, pad_id=0, max_length=max_length)


def saying(task: TokenClassification, tag: str) -> Any:
    """A model that gives every token one tag."""
    number = tags_of(task.labels, task.scheme).index(tag)

    def forward(**inputs: torch.Tensor) -> SimpleNamespace:
        logits = torch.zeros(*inputs["input_ids"].shape, len(tags_of(task.labels, task.scheme)))
        logits[..., number] = 5.0
        return SimpleNamespace(logits=logits)

    return forward


# rows


@pytest.mark.parametrize(
    ("task", "raw", "row"),
    [
        pytest.param(WORDS, {"words": SENTENCE, "tags": TAGS}, {"words": SENTENCE, "tags": TAGS}, id="words"),
        pytest.param(
            WORDS,
            {"words": '["a", "b"]', "tags": '["O", "B-film"]'},
            {"words": ["a", "b"], "tags": ["O", "B-film"]},
            id="as-json",
        ),
        pytest.param(
            TokenClassification(repair_tags=True),
            {"words": ["a", "b", "c"], "tags": ["I-film", "I-film", "I-place"]},
            {"words": ["a", "b", "c"], "tags": ["B-film", "I-film", "B-place"]},
            id="repaired",
        ),
        pytest.param(
            TokenClassification(repair_tags=True, scheme="bioes"),
            {"words": ["a", "b"], "tags": ["B-film", "I-film"]},
            {"words": ["a", "b"], "tags": ["B-film", "E-film"]},
            id="repaired-bioes",
        ),
        pytest.param(
            TokenClassification(scheme="none"),
            {"words": ["a", "b"], "tags": ["DET", "I-x"]},
            {"words": ["a", "b"], "tags": ["DET", "I-x"]},
            id="plain-tags",
        ),
        pytest.param(
            SPANS,
            {"text": "in Paris", "spans": [{"start": 3, "end": 8, "label": "place", "text": "Paris"}]},
            {"text": "in Paris", "spans": [{"start": 3, "end": 8, "label": "place"}]},
            id="spans",
        ),
        pytest.param(SPANS, {"text": "none", "spans": []}, {"text": "none", "spans": []}, id="no-span"),
    ],
)
def test_rows_are_read(task: TokenClassification, raw: Row, row: Row) -> None:
    assert task.read(raw) == row


@pytest.mark.parametrize(
    ("task", "raw", "message"),
    [
        pytest.param(WORDS, {"words": ["a"], "tags": ["O", "O"]}, "1 words and 2 tags", id="lengths"),
        pytest.param(WORDS, {"words": ["a", " "], "tags": ["O", "O"]}, "word 2 is empty", id="empty-word"),
        pytest.param(WORDS, {"words": [], "tags": []}, "holds no word", id="no-word"),
        pytest.param(WORDS, {"words": "a b", "tags": ["O"]}, "not JSON.*a list of words is needed", id="a-text"),
        pytest.param(
            WORDS, {"words": ["a"], "tags": ["film"]}, "has O, B-label, I-label; `none` takes", id="no-prefix"
        ),
        pytest.param(WORDS, {"words": ["a"], "tags": ["S-film"]}, "tag 1 is `S-film`: task.scheme bio", id="scheme"),
        pytest.param(
            WORDS,
            {"words": ["a", "b"], "tags": ["O", "I-film"]},
            "tag 2 is `I-film` after `O`: I-x stands after B-x.*repair_tags: true to take it for `B-film`",
            id="broken",
        ),
        pytest.param(
            WORDS,
            {"words": ["a", "b"], "tags": ["B-place", "I-film"]},
            "tag 2 is `I-film` after `B-place`",
            id="another-label",
        ),
        pytest.param(
            BIOES,
            {"words": ["a", "b"], "tags": ["B-film", "O"]},
            "tag 1 is `B-film` at the beginning and before `O`: B-x goes on.*take it for `S-film`",
            id="bioes",
        ),
        pytest.param(
            SPANS,
            {"text": "in Paris", "spans": [{"start": 3, "end": 9, "label": "place"}]},
            "from 3 to 9 is not within the text, which has characters 0 to 8",
            id="beyond",
        ),
        pytest.param(
            SPANS,
            {"text": "in Paris", "spans": [{"start": 2, "end": 7, "label": "place", "text": "Paris"}]},
            "says 'Paris', the text has ' Pari' there: count characters",
            id="not-there",
        ),
        pytest.param(
            SPANS,
            {"text": "a b", "spans": [{"start": 0, "end": 3, "label": "x"}, {"start": 2, "end": 3, "label": "y"}]},
            r"'a b' \(0 to 3, x\) and 'b' \(2 to 3, y\) overlap",
            id="overlap",
        ),
        pytest.param(SPANS, {"text": "a", "spans": [{"start": 0}]}, "a span has start, end and label", id="no-span"),
    ],
)
def test_bad_rows_are_refused(task: TokenClassification, raw: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.read(raw)


def test_labels_are_those_of_entities() -> None:
    assert WORDS.labels_of({"words": SENTENCE, "tags": TAGS}) == ("place",)
    assert SPANS.labels_of({"text": "in Paris", "spans": [{"start": 3, "end": 8, "label": "place"}]}) == ("place",)
    assert WORDS.config_overrides(TOKENIZER)["id2label"] == dict(
        enumerate(["O", "B-film", "I-film", "B-place", "I-place"])
    )


# tokens


@pytest.mark.parametrize("subwords", ["first", "all"])
def test_tags_go_to_the_tokens_of_words(subwords: Any) -> None:
    task = TokenClassification(labels=LABELS, subwords=subwords)
    columns = task.encode([{"words": SENTENCE, "tags": TAGS}], TOKENIZER, 128)

    ids, labels, is_word = (columns[name][0] for name in ("input_ids", "label_ids", "is_word"))
    assert ids == TOKENIZER(" ".join(SENTENCE))["input_ids"]
    assert sum(is_word) == len(SENTENCE)
    assert [label for label, first in zip(labels, is_word, strict=True) if first] == [0, 0, 0, 3, 0, 3]
    assert columns["num_targets"] == [sum(is_word) if subwords == "first" else len(ids) - 2]


def test_a_word_without_a_token_has_a_tag_too() -> None:
    words = ["a", "\ufe0f", "film"]
    tokenizer = _dropping("\ufe0f")
    columns = WORDS.encode([{"words": words, "tags": ["O", "B-film", "I-film"]}], tokenizer, 128)

    assert tokenizer.unk_token_id in columns["input_ids"][0]
    assert sum(columns["is_word"][0]) == 3


def test_a_span_within_a_word_takes_the_word() -> None:
    row = {"text": "hello, Paris!", "spans": [{"start": 8, "end": 10, "label": "place"}]}
    batch = batch_of(SPANS, [row])

    assert batch["labels"][batch["is_word"]].tolist() == [0, 0, 3, 0]


def test_scripts_without_spaces_have_a_word_a_character() -> None:
    assert SPANS.encode([{"text": "東京は big", "spans": []}], TOKENIZER, 128)["num_targets"] == [4]


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(UserError, match=r"name a model with a tokenizer\.json"):
        WORDS.encode([], SimpleNamespace(is_fast=False), 128)  # type: ignore[arg-type]


# windows


def test_long_rows_lose_nothing() -> None:
    """Every word counts once, whatever the window; `full_length` says that nothing is cut."""
    long = {"words": SENTENCE * 20, "tags": TAGS * 20}
    columns = WORDS.encode([long], TOKENIZER, 32)
    short, cut = batch_of(WORDS, [long], max_length=2_000), batch_of(WORDS, [long, long], max_length=32)

    assert columns["full_length"] == [32]
    assert cut["input_ids"].shape[1] == 32
    assert WORDS.num_targets(cut) == 2 * WORDS.num_targets(short) == 240
    assert cut["labels"][cut["is_word"]].tolist() == 2 * short["labels"][short["is_word"]].tolist()


def test_losses_and_metrics_do_not_depend_on_windows() -> None:
    model = saying(WORDS, "B-place")
    row = {"words": SENTENCE * 20, "tags": TAGS * 20}
    found = []
    for max_length in (2_000, 32):
        batch = batch_of(WORDS, [row, {"words": SENTENCE, "tags": TAGS}], max_length=max_length)
        loss, logits = WORDS.loss(model, batch)
        metrics = WORDS.new_metrics()
        metrics.update(loss.item(), logits, batch)
        losses = WORDS.row_losses(logits, batch)
        assert losses is not None
        found.append((metrics.compute(), losses.tolist(), WORDS.verdict(logits, batch, 1)))

    assert found[0][0]["loss"] == pytest.approx(found[1][0]["loss"], rel=1e-5)
    assert found[0][0]["f1_micro"] == found[1][0]["f1_micro"] == pytest.approx(2 * 42 / (126 + 42))
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
    assert found[0][2] == found[1][2]
    assert found[0][2].label == "place 4, place 6"


# answers


def test_spans_are_characters_of_the_joined_words() -> None:
    batch = batch_of(WORDS, [{"words": ["to", "Paris"]}, {"words": []}])

    first, empty = WORDS.predict(saying(WORDS, "I-place"), TOKENIZER, batch)

    sure = pytest.approx(0.974, abs=1e-3)
    assert first == {
        "spans": [{"start": 0, "end": 8, "label": "place", "text": "to Paris", "score": sure}],
        "score": sure,
    }
    assert empty == {"spans": [], "score": 1.0}


def test_spans_are_stitched_over_windows() -> None:
    batch = batch_of(SPANS, [{"text": " ".join(SENTENCE * 20)}], max_length=32)
    (answer,) = SPANS.predict(saying(SPANS, "B-film"), TOKENIZER, batch)

    assert [span["text"] for span in answer["spans"]] == SENTENCE * 20
    assert batch["input_ids"].shape[0] > 4


def _dropping(character: str) -> Any:
    from tokenizers import normalizers

    tokenizer = tiny_models.encoder_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(character, "")
    return tokenizer
