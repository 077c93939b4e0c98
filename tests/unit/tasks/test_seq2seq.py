"""Texts made of texts, by encoders and decoders of three kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.model.load import load_model
from eagleray.tasks.base import Batch, Row
from eagleray.tasks.seq2seq import Seq2Seq
from tests.support import tiny_models

TOKENIZER = tiny_models.seq2seq_tokenizer()
TASK = Seq2Seq(max_new_tokens=5)
PAIRS = Seq2Seq(pair="pair", pairs={"en-de": "to German: ", "en-fr": "to French: "}, prefix="> ")
ROWS = [
    {"source": "a fine and moving film", "target": "fine"},
    {"source": "a slow film that never ends", "target": "slow and dull and never ends"},
]


def batch_of(task: Seq2Seq, rows: list[Row], *, weights: list[float] | None = None) -> Batch:
    columns = task.encode(rows, TOKENIZER, 64)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return task.collate(
        samples, weights=np.array(weights or [1.0] * len(rows), dtype=np.float32), pad_id=0, max_length=64
    )


@pytest.mark.parametrize(
    ("task", "raw", "message"),
    [
        pytest.param(TASK, {"source": " ", "target": "x"}, "column `source` is empty", id="no-source"),
        pytest.param(TASK, {"source": "x", "target": ""}, "column `target` is empty", id="no-target"),
        pytest.param(
            PAIRS, {"source": "x", "target": "y", "pair": "en-da"}, "`en-da` is not in.*did you mean `en-de`", id="pair"
        ),
    ],
)
def test_bad_rows_are_refused(task: Seq2Seq, raw: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.read(raw)


def test_sources_have_their_prefix() -> None:
    columns = PAIRS.encode([{"source": "hello", "pair": "en-fr"}], TOKENIZER, 64)
    assert TOKENIZER.decode(columns["input_ids"][0], skip_special_tokens=True) == "> to French: hello"


def test_targets_are_cut_and_keep_their_end() -> None:
    columns = Seq2Seq(max_target_length=3).encode(ROWS, TOKENIZER, 64)
    assert columns["num_targets"][1] == len(columns["target_ids"][1]) == 3
    assert columns["target_ids"][1][-1] == TOKENIZER.eos_token_id


@pytest.mark.parametrize("kind", ["t5", "bart", "marian"])
def test_the_loss_is_a_sum_over_targets(kind: Any) -> None:
    """Two rows together have the loss of both alone, and that which the model itself finds; filler has none."""
    model = tiny_models.seq2seq(kind, vocab_size=len(TOKENIZER))
    both = batch_of(TASK, ROWS)
    with torch.no_grad():
        loss, logits = TASK.loss(model, both)
        alone = [TASK.loss(model, batch_of(TASK, [row]))[0].item() for row in ROWS]
        own = model(
            **{name: both[name] for name in ("input_ids", "attention_mask")},
            labels=both["targets"].masked_fill(both["target_weights"] == 0, -100),
        ).loss
        filled, _ = TASK.loss(model, batch_of(TASK, ROWS, weights=[1.0, 0.0]))

    assert loss.item() == pytest.approx(sum(alone), rel=1e-4)
    assert loss.item() / TASK.num_targets(both) == pytest.approx(own.item(), rel=1e-4)
    assert filled.item() == pytest.approx(alone[0], rel=1e-4)
    losses = TASK.row_losses(logits, both)
    assert losses is not None
    assert losses.tolist() == pytest.approx(
        [each / count for each, count in zip(alone, both["target_weights"].sum(dim=1).tolist(), strict=True)], rel=1e-4
    )


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("kind", ["t5", "bart", "marian"])
def test_texts_are_written(tmp_path: Path, kind: Any, num_beams: int) -> None:
    task = Seq2Seq(max_new_tokens=5, num_beams=num_beams, no_repeat_ngram=2, length_penalty=0.5)
    model = load_model(
        task.model_class(),
        source=str(tiny_models.save_seq2seq(tmp_path / kind, kind=kind)),
        dtype=torch.float32,
        config_overrides=task.config_overrides(TOKENIZER),
    ).eval()
    batch = batch_of(task, [task.read_input({"source": "a fine film"}), task.read_input({"source": "dull"})])
    search = {"num_beams": num_beams, **({"length_penalty": 0.5} if num_beams > 1 else {})}
    expected = model.generate(**batch, do_sample=False, max_new_tokens=5, no_repeat_ngram_size=2, **search)

    assert expected.shape[1] <= 1 + 5
    assert task.predict(model, TOKENIZER, batch) == [
        {"text": text} for text in TOKENIZER.batch_decode(expected, skip_special_tokens=True)
    ]
