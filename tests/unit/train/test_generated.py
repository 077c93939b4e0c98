"""What a finished decoder writes is measured against what was wanted, the same from one worker and from three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.metrics.texts import TextMetrics
from eagleray.spec import reported
from eagleray.tasks.base import Task, Writing
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.preference_lm import PreferenceLm
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.trained import Trained
from eagleray.train import generated
from eagleray.train.group import Group
from tests.support import tiny_models

CHAT = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"role": "user", "content": "a film?"},
    {"role": "assistant", "content": "a fine film"},
    {"role": "user", "content": "thanks"},
]


@dataclass(frozen=True)
class Split:
    """Rows whose lengths are their prompts'."""

    rows: list[dict[str, Any]]

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(row["prompt"]) for row in self.rows], dtype=np.int32)

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, index: int) -> dict[str, Any]:
        return self.rows[index]


@pytest.mark.parametrize(
    ("task", "row", "asked", "wanted"),
    [
        pytest.param(
            CausalLm(format="completion"), {"prompt": "q", "completion": "a"}, {"prompt": "q"}, "a", id="completion"
        ),
        pytest.param(CausalLm(format="chat"), {"messages": CHAT}, {"context": CHAT[:3]}, "a fine film", id="last turn"),
        pytest.param(
            PreferenceLm(format="completion"),
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            {"prompt": "q"},
            "a",
            id="the better of two answers",
        ),
        pytest.param(
            PreferenceLm(format="chat"),
            {"messages": CHAT[:1], "chosen": "a", "rejected": "b"},
            {"context": CHAT[:1]},
            "a",
            id="the better of two turns",
        ),
        pytest.param(
            Seq2Seq(pair="pair", pairs={"en-de": ""}),
            {"source": "s", "pair": "en-de", "target": "t"},
            {"source": "s", "pair": "en-de"},
            "t",
            id="seq2seq",
        ),
    ],
)
def test_what_is_asked_and_wanted(task: Task, row: dict[str, Any], asked: dict[str, Any], wanted: str) -> None:
    assert isinstance(task, Writing)
    assert (task.prompted(row), task.wanted(row)) == (asked, wanted)


def test_scores_do_not_depend_on_the_workers() -> None:
    tokenizer = tiny_models.decoder_tokenizer()
    model = tiny_models.decoder("llama", vocab_size=len(tokenizer)).eval()
    task = CausalLm(format="completion", max_new_tokens=4)
    trained = Trained(task, tokenizer, model, 64, None, torch.device("cpu"), ())
    prompts = [f"what is a film {number}" + " and" * (number % 4) for number in range(9)]
    said = [generated._written(trained, [{"prompt": prompt}])[0] for prompt in prompts]
    # Every second is what it says, so that there is something to be right about.
    rows = [
        {"prompt": prompt, "completion": text.strip() if number % 2 else "a fine film"}
        for number, (prompt, text) in enumerate(zip(prompts, said, strict=True))
    ]
    expected = TextMetrics(reported.GENERATED["text"])
    expected.update(said, [row["completion"] for row in rows])

    states: list[torch.Tensor] = []

    class Rank(Group):
        def sum(self, values: torch.Tensor) -> torch.Tensor:
            states.append(values.clone())
            return torch.stack(states).sum(dim=0)

    for world_size in (1, 3):
        states.clear()
        found: dict[str, float] = {}
        for rank in range(world_size):
            group = Rank(rank=rank, world_size=world_size, num_local=1, device=torch.device("cpu"))
            found = generated.evaluate(trained, split=Split(rows), batch_size=2, group=group)  # type: ignore[arg-type]
        assert found == pytest.approx(expected.compute())
    assert found["exact_match"] >= 4 / 9
