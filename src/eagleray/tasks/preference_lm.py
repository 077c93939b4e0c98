"""What is causal-lm with `objective: dpo`: preferring one answer to another (Rafailov et al. 2023, arXiv:2305.18290)?

What an answer's log probability is compared with is what the same model gave it before its first step: measured once at
the start, so no second model is held, and it is exact for full training, adapters and every ZeRO stage alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from eagleray.metrics.preference import PreferenceMetrics
from eagleray.tasks import chat_template, targets
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.columns import read_json, read_text

_SIDES = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class PreferenceLm(CausalLm):
    """Rows to learn from: `{"prompt" or "messages", "chosen", "rejected"}`; rows to continue are those of CausalLm.

    Batches: the chosen answers of all rows, then the rejected; `reference` (rows, 2) float32 and `weights` (rows,).
    """

    beta: float = 0.1
    chosen: str = "chosen"
    rejected: str = "rejected"

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "loss", "min"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.messages if self.format == "chat" else self.prompt, self.chosen, self.rejected)

    @property
    def reference_columns(self) -> tuple[str, ...]:
        """What a sample is given of `reference`."""
        return ("reference_chosen", "reference_rejected")

    def read(self, raw: Mapping[str, Any]) -> Row:
        answers = {side: _answer(raw, getattr(self, side)) for side in _SIDES}
        if answers["chosen"] == answers["rejected"]:
            raise ValueError(f"columns `{self.chosen}` and `{self.rejected}` are the same: there is nothing to prefer")
        if self.format != "chat":
            return {"prompt": read_text(raw, self.prompt), **answers}
        messages = self.read_messages(raw)
        if messages[-1]["role"] == "assistant":
            raise ValueError(f"column `{self.messages}` ends with the assistant: it must end with what is answered")
        return {"messages": messages, **answers}

    def asked(self, row: Row) -> dict[str, Any]:
        """What both answers are to."""
        return {self.messages: row["messages"]} if "messages" in row else {self.prompt: row["prompt"]}

    def identity(self, row: Row) -> str:
        return json.dumps(row["messages"], ensure_ascii=False) if "messages" in row else str(row["prompt"])

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Besides: `rejected_ids` and `rejected_mask`, as `input_ids` and `target_mask` of the chosen answer."""
        if not rows or "chosen" not in rows[0]:
            return CausalLm.encode(self, rows, tokenizer, max_length)
        chosen, rejected = (
            CausalLm.encode(self, [_with_answer(row, side) for row in rows], tokenizer, max_length) for side in _SIDES
        )
        for columns in (chosen, rejected):
            columns["target_mask"] = [
                _last_turn(row, mask, tokenizer) for row, mask in zip(rows, columns["target_mask"], strict=True)
            ]
        ids = zip(chosen["input_ids"], rejected["input_ids"], strict=True)
        return {
            **chosen,
            "rejected_ids": rejected["input_ids"],
            "rejected_mask": rejected["target_mask"],
            "length": [max(map(len, pair)) for pair in ids],
            "full_length": list(map(max, chosen["full_length"], rejected["full_length"])),
            "num_targets": list(map(min, map(sum, chosen["target_mask"]), map(sum, rejected["target_mask"]))),
        }

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("the two answers of a pair are compared as rows: samples cannot be packed")
        if "rejected_ids" not in samples[0]:
            return CausalLm.collate(self, samples, weights=weights, pad_id=pad_id, max_length=max_length)
        rejected = [{"input_ids": sample["rejected_ids"], "target_mask": sample["rejected_mask"]} for sample in samples]
        ones = np.ones(2 * len(samples), dtype=np.float32)
        both = CausalLm.collate(self, [*samples, *rejected], weights=ones, pad_id=pad_id, max_length=max_length)
        reference = [[sample.get(name, 0.0) for name in self.reference_columns] for sample in samples]
        return {
            **both,
            "reference": torch.tensor(reference, dtype=torch.float32),
            "weights": torch.as_tensor(weights, dtype=torch.float32),
        }

    def num_targets(self, batch: Batch) -> float:
        """Pairs."""
        return float(batch["weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits returned are the rewards of the chosen and the rejected answer, (rows, 2).

        `label_smoothing` is the share of pairs whose order is taken to be wrong.
        """
        rewards = self.beta * (self.reference(forward, batch) - batch["reference"])
        losses = _losses(rewards, label_smoothing=label_smoothing)
        return (losses * batch["weights"]).sum(), rewards

    def reference(self, forward: Forward, batch: Batch) -> torch.Tensor:
        """The log probabilities of the chosen and the rejected answer, (rows, 2) float32."""
        logits = forward(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
        return -targets.row_sums(logits, batch).view(2, -1).T

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        return _losses(logits, label_smoothing=0.0).cpu()

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        chosen, rejected = logits[row].tolist()
        return Verdict("chosen", "chosen" if chosen > rejected else "rejected", not chosen > rejected)

    def prompted(self, row: Row) -> Row:
        return {"context": row["messages"]} if "messages" in row else {"prompt": row["prompt"]}

    def wanted(self, row: Row) -> str:
        """The answer that is preferred."""
        return str(row["chosen"])

    def shown(self, row: Row) -> str:
        asked = "\n".join(f"{message['role']}: {message['content']}" for message in row.get("messages", []))
        return f"{asked or row['prompt']}\n→ {row['chosen']}\nnot: {row['rejected']}"

    def new_metrics(self) -> Any:
        return PreferenceMetrics()


def _losses(rewards: torch.Tensor, *, label_smoothing: float) -> torch.Tensor:
    margins = rewards[:, 0] - rewards[:, 1]
    right, wrong = functional.logsigmoid(margins), functional.logsigmoid(-margins)
    return -(1.0 - label_smoothing) * right - label_smoothing * wrong


def _answer(raw: Mapping[str, Any], column: str) -> str:
    """A text, or the last of messages, which must be the assistant's."""
    value = raw.get(column)
    if isinstance(value, str) and value.lstrip().startswith('[{"'):
        value = read_json(raw, column, wanted="a list of messages")
    if isinstance(value, list):
        last = chat_template.read_messages(value, column=column)[-1]
        if last["role"] != "assistant":
            raise ValueError(f"column `{column}` must end with a message of the assistant")
        value = last["content"]
    return read_text({column: value} if column in raw else {}, column)


def _with_answer(row: Row, side: str) -> Row:
    if "messages" in row:
        return {"messages": [*row["messages"], {"role": "assistant", "content": row[side]}]}
    return {"prompt": row["prompt"], "completion": row[side]}


def _last_turn(row: Row, mask: list[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Of a conversation only the answer counts: what the assistant said before is the same in both."""
    if "messages" not in row:
        return mask
    begin = min(len(chat_template.prompt_ids(tokenizer, row["messages"])), len(mask))
    return [0] * begin + mask[begin:]
