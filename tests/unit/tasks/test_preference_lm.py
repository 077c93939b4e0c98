"""causal-lm by preference: rows, that the loss is the published one, and what it is compared with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from eagleray import methods
from eagleray.data.prepare import prepare
from eagleray.spec.data import DataSpec
from eagleray.spec.method import LoraSpec
from eagleray.spec.task.content import UNKNOWN
from eagleray.tasks.preference_lm import PreferenceLm
from eagleray.train import reference
from eagleray.train.group import Group
from tests.support import tiny_models

TASK = PreferenceLm(format="completion", beta=0.5)
CHAT = PreferenceLm(format="chat")
ROWS = [
    {"prompt": "a film", "chosen": " is fine", "rejected": " is a slow mess of a plot"},
    {"prompt": "hello, how are", "chosen": " you today?", "rejected": " loud"},
    {"prompt": "x", "chosen": " y", "rejected": " z"},
]
ASKED = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "q"}]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny_models.decoder_tokenizer()


def samples(task: PreferenceLm, rows: list[dict[str, Any]], tokenizer: Any, max_length: int = 64) -> list[Any]:
    columns = task.encode([task.read(row) for row in rows], tokenizer, max_length)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def collated(encoded: list[dict[str, Any]], weights: Any = None) -> dict[str, torch.Tensor]:
    given = np.ones(len(encoded), dtype=np.float32) if weights is None else np.array(weights, dtype=np.float32)
    return TASK.collate(encoded, weights=given, pad_id=0, max_length=64)


def log_probability(model: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    asked = tokenizer(prompt)["input_ids"]
    ids = torch.tensor([*asked, *tokenizer(answer)["input_ids"], tokenizer.eos_token_id])
    logs = model(input_ids=ids[None]).logits[0].log_softmax(-1)
    return sum(logs[place - 1, ids[place]].item() for place in range(len(asked), len(ids)))


class TestRows:
    @pytest.mark.parametrize(
        ("task", "raw", "row"),
        [
            pytest.param(TASK, ROWS[2], ROWS[2], id="texts"),
            pytest.param(
                CHAT,
                {"messages": ASKED, "chosen": "a", "rejected": [*ASKED, {"role": "assistant", "content": "b"}]},
                {"messages": ASKED, "chosen": "a", "rejected": "b"},
                id="a conversation, an answer as text and one as messages",
            ),
        ],
    )
    def test_rows(self, task: PreferenceLm, raw: dict[str, Any], row: dict[str, Any]) -> None:
        assert task.read(raw) == row

    @pytest.mark.parametrize(
        ("task", "raw", "message"),
        [
            (TASK, {"prompt": "x", "chosen": "y", "rejected": "y"}, "nothing to prefer"),
            (TASK, {"prompt": "x", "chosen": "y"}, "column `rejected` is missing"),
            (CHAT, {"messages": ASKED[:2], "chosen": "a", "rejected": "b"}, "ends with the assistant"),
            (CHAT, {"messages": ASKED, "chosen": ASKED, "rejected": "b"}, "must end with a message of the assistant"),
        ],
        ids=["equal answers", "one answer", "nothing to answer", "no answer"],
    )
    def test_wrong_rows(self, task: PreferenceLm, raw: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            task.read(raw)

    def test_of_a_conversation_the_answer_alone_counts(self, tokenizer: PreTrainedTokenizerBase) -> None:
        (sample,) = samples(CHAT, [{"messages": ASKED, "chosen": "fine", "rejected": "no"}], tokenizer)

        said = [token for token, is_target in zip(sample["input_ids"], sample["target_mask"], strict=True) if is_target]
        assert tokenizer.decode(said, skip_special_tokens=True) == "fine"
        assert sample["length"] == max(len(sample["input_ids"]), len(sample["rejected_ids"]))

    def test_a_pair_without_room_for_both_answers_has_no_target(self, tokenizer: PreTrainedTokenizerBase) -> None:
        (sample,) = samples(TASK, [{"prompt": "a fine film " * 9, "chosen": "a", "rejected": "b"}], tokenizer, 8)

        assert sample["num_targets"] == 0


class TestLoss:
    def test_is_the_published_one(self, tokenizer: PreTrainedTokenizerBase) -> None:
        model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
        start = tiny_models.decoder("llama", vocab_size=len(tokenizer), seed=1)
        gains = [
            [
                log_probability(model, tokenizer, row["prompt"], row[side])
                - log_probability(start, tokenizer, row["prompt"], row[side])
                for side in ("chosen", "rejected")
            ]
            for row in ROWS
        ]
        encoded = samples(TASK, ROWS, tokenizer)
        with torch.no_grad():
            before = TASK.reference(start, collated(encoded)).tolist()
        for sample, values in zip(encoded, before, strict=True):
            sample.update(zip(TASK.reference_columns, values, strict=True))
        batch = collated(encoded, [1, 0, 1])

        loss, rewards = TASK.loss(model, batch)

        torch.testing.assert_close(rewards.detach(), 0.5 * torch.tensor(gains), rtol=1e-4, atol=1e-4)
        expected = sum(math.log1p(math.exp(-0.5 * (gains[row][0] - gains[row][1]))) for row in (0, 2))
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        metrics = TASK.new_metrics()
        metrics.update(loss.item(), rewards, batch)
        measured = metrics.compute()
        assert measured["loss"] == pytest.approx(expected / 2, rel=1e-4)
        assert measured["reward_accuracy"] == sum(gains[row][0] > gains[row][1] for row in (0, 2)) / 2

    def test_at_the_start_nothing_is_preferred(self, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
        model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
        file = tmp_path / "pairs.jsonl"
        rows = [f'{{"prompt": "film {n}", "chosen": "fine", "rejected": "dull and cold"}}\n' for n in range(20)]
        file.write_text("".join(rows))
        data = prepare(
            DataSpec(train=str(file)),
            task=TASK,
            tokenizer=tokenizer,
            tokenizer_fingerprint="tiny",
            seed=0,
            cache_dir=tmp_path / "cache",
            content=UNKNOWN,
        )
        adapted = methods.apply(model, LoraSpec(type="lora"), task=TASK).eval()
        group = Group(rank=0, world_size=1, num_local=1, device=torch.device("cpu"))

        split = reference.measured(
            data.train, task=TASK, forward=model, collate=lambda s, w: collated(s, w), group=group
        )

        batch = collated(split.samples(np.arange(4)))
        for learner in (model, adapted):  # an adapter that has not learned changes nothing
            loss, rewards = TASK.loss(learner, batch)
            torch.testing.assert_close(rewards.detach(), torch.zeros(4, 2), rtol=0, atol=1e-4)
            assert loss.item() == pytest.approx(4 * math.log(2), abs=1e-4)


def test_it_answers_as_any_language_model(tokenizer: PreTrainedTokenizerBase) -> None:
    model = tiny_models.decoder("llama", vocab_size=len(tokenizer))
    columns = TASK.encode([TASK.read_input({"prompt": "a film"})], tokenizer, 64)
    encoded = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    with torch.inference_mode():
        (answer,) = TASK.predict(model, tokenizer, collated(encoded))

    assert set(answer) == {"text"}
