"""What is causal-lm: continuing text, answering a prompt, or taking the assistant's part in a conversation?

A token is a target if the model has to say it: every token of a plain text, the completion of a prompt, the assistant's
turns of a conversation. The first token of a sample is never one, for nothing precedes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from eagleray.data.packing import pack
from eagleray.metrics.perplexity import PerplexityMetrics
from eagleray.spec import reported
from eagleray.tasks import chat_template, continuation, packed_rows, targets
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_json, read_text
from eagleray.tasks.padding import attention_mask

Format = Literal["text", "completion", "chat"]

Long = Literal["cut", "split"]

_MODEL_INPUTS = ("input_ids", "attention_mask", "position_ids")


@dataclass(frozen=True, slots=True)
class CausalLm:
    """A decoder that continues text.

    Rows to learn from: `{"text"}`, `{"prompt", "completion"}` or `{"messages"}`; rows to continue: `{"prompt"}` or
    `{"context"}` (messages). Batches: `targets` (rows, length) int64, the token to be predicted at each position,
    and `target_weights` (rows, length) float32, 0 where there is none.
    """

    format: Format = "text"
    text: str = "text"
    prompt: str = "prompt"
    completion: str = "completion"
    messages: str = "messages"
    system: str | None = None
    template: str = "own"
    long: Long = "cut"
    max_new_tokens: int = 64
    generate_for: tuple[str, ...] = ()
    bleu_tokenizer: str = "13a"
    wordnet: str | None = None

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "perplexity", "min"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        match self.format:
            case "text":
                return (self.text,)
            case "completion":
                return (self.prompt, self.completion)
            case "chat":
                return (self.messages,)

    def read(self, raw: Mapping[str, Any]) -> Row:
        match self.format:
            case "text":
                return {"text": read_text(raw, self.text)}
            case "completion":
                prompt, completion = read_text(raw, self.prompt), read_text(raw, self.completion)
                return {"prompt": prompt, "completion": completion}
            case "chat":
                messages = self.read_messages(raw)
                if not any(message["role"] == "assistant" and message["content"].strip() for message in messages):
                    raise ValueError(f"column `{self.messages}` has no assistant message to learn from")
                return {"messages": messages}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        """What is to be continued. Of a conversation that ends with the assistant, all before that last turn."""
        match self.format:
            case "text":
                return {"prompt": read_text(raw, self.text, may_be_empty=True)}
            case "completion":
                return {"prompt": read_text(raw, self.prompt, may_be_empty=True)}
            case "chat":
                messages = self.read_messages(raw)
                context = messages[:-1] if messages[-1]["role"] == "assistant" else messages
                if not context:
                    raise ValueError(f"column `{self.messages}` holds nothing to answer")
                return {"context": context}

    def read_messages(self, raw: Mapping[str, Any]) -> list[chat_template.Message]:
        """A conversation, with the system prompt of the document where it begins with none."""
        messages = chat_template.read_messages(
            read_json(raw, self.messages, wanted="a list of messages"), column=self.messages
        )
        if self.system is None or messages[0]["role"] == "system":
            return messages
        return [{"role": "system", "content": self.system}, *messages]

    def identity(self, row: Row) -> str:
        match row:
            case {"text": str(text)}:
                return text
            case {"prompt": str(prompt)}:
                return prompt
            case {"messages": list(messages)}:
                return json.dumps(messages[: _last_turn(row)], ensure_ascii=False)
        return json.dumps(row, ensure_ascii=False, sort_keys=True)

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> CausalLm:
        return self

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Besides: `target_mask`, 1 for the tokens to learn.

        What is too long loses its end; a prompt its beginning; a text that is split nothing.
        """
        columns: dict[str, list[Any]] = {
            name: [] for name in ("input_ids", "full_length", "num_targets", "target_mask", "row")
        }
        opening = _opening(tokenizer)
        for number, row in enumerate(rows):
            ids, mask = _encode(row, tokenizer, opening)
            for kept in self._kept(len(ids), is_learned=any(mask), max_length=max_length):
                columns["full_length"].append(len(ids[kept]) if self.long == "split" else len(ids))
                columns["input_ids"].append(ids[kept])
                columns["target_mask"].append([0, *mask[kept][1:]])
                columns["num_targets"].append(sum(mask[kept][1:]))
                columns["row"].append(number)
        if self.long == "cut":
            del columns["row"]
        return columns

    def _kept(self, length: int, *, is_learned: bool, max_length: int) -> list[slice]:
        if not is_learned:
            return [slice(-max_length, None)]
        return _blocks(length, max_length=max_length) if self.long == "split" else [slice(None, max_length)]

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        ids = [np.asarray(sample["input_ids"], dtype=np.int64) for sample in samples]
        lengths = [len(row) for row in ids]
        next_ids = [np.append(row[1:], pad_id) for row in ids]
        target_weights = [
            np.append(np.asarray(sample["target_mask"], dtype=np.float32)[1:], np.float32(0)) * weight
            for sample, weight in zip(samples, weights, strict=True)
        ]
        rows = pack(lengths, max_length) if packed else [[index] for index in range(len(samples))]
        batch = {
            "input_ids": packed_rows.join(ids, rows, value=pad_id),
            "targets": packed_rows.join(next_ids, rows, value=pad_id),
            "target_weights": packed_rows.join(target_weights, rows, value=0, dtype=np.float32),
        }
        if packed:
            return {**batch, "position_ids": packed_rows.position_ids(lengths, rows)}
        return {**batch, "attention_mask": attention_mask(lengths)}

    def num_targets(self, batch: Batch) -> float:
        """Target tokens."""
        return float(batch["target_weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits returned are those of the counted targets alone, (targets, vocabulary), but of plain texts all."""
        logits = forward(**_inputs(batch), use_cache=False).logits
        summed = targets.summed_loss_of_all if self.format == "text" else targets.summed_loss
        return summed(logits, batch, label_smoothing=label_smoothing)

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        """A row's mean over its targets; 0 where it has none."""
        if "position_ids" in batch:
            return None
        return targets.row_means(logits, batch)

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        """A text is not right or wrong."""
        return Verdict(is_wrong=False)

    @property
    def written_by(self) -> tuple[str, ...]:
        return reported.GENERATED["text"]

    @property
    def pairs(self) -> Mapping[str, str]:
        """None: rows are of one kind."""
        return {}

    def prompted(self, row: Row) -> Row:
        """A prompt, or all before the assistant's last turn."""
        if "messages" in row:
            return {"context": row["messages"][: _last_turn(row)]}
        return {"prompt": row["prompt"]}

    def wanted(self, row: Row) -> str:
        return str(row["messages"][_last_turn(row)]["content"] if "messages" in row else row["completion"])

    def shown(self, row: Row) -> str:
        match row:
            case {"text": str(text)}:
                return text
            case {"prompt": str(prompt), "completion": str(completion)}:
                return f"{prompt}\n→ {completion}"
        return "\n".join(f"{message['role']}: {message['content']}" for message in row["messages"])

    def new_metrics(self) -> PerplexityMetrics:
        return PerplexityMetrics()

    def model_class(self) -> type[Any]:
        return AutoModelForCausalLM

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        # Encoders have a causal form of their own, which attends to what went before alone, by this switch.
        return {"pad_token_id": tokenizer.pad_token_id, "is_decoder": True}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        """Greedy continuation of each row, up to `max_new_tokens` or the end token; `text` is what was added."""
        ends = chat_template.end_ids(tokenizer) if self.format == "chat" else [tokenizer.eos_token_id]
        inputs = continuation.on_the_right(
            batch, room=continuation.room(model, self.max_new_tokens), pad_id=tokenizer.pad_token_id
        )
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=[end for end in ends if end is not None] or None,
            pad_token_id=tokenizer.pad_token_id,
        )
        generated = model.generate(**inputs, generation_config=settings)
        added = generated[:, inputs["input_ids"].shape[1] :]
        return [{"text": text} for text in tokenizer.batch_decode(added, skip_special_tokens=True)]


def _last_turn(row: Row) -> int:
    """Which message is the assistant's last."""
    return max(number for number, message in enumerate(row["messages"]) if message["role"] == "assistant")


def _blocks(length: int, *, max_length: int) -> list[slice]:
    """Blocks that share a token with the next, which there is only read: so each token but the first is one target."""
    starts = range(0, max(length - 1, 1), max_length - 1)
    return [slice(start, start + max_length) for start in starts]


def _encode(row: Row, tokenizer: PreTrainedTokenizerBase, opening: list[int]) -> tuple[list[int], list[int]]:
    """Token ids, and 1 for each that is to be learned; the first never is."""
    match row:
        case {"text": str(text)}:
            ids, mask = _joined(opening, [*_ids(tokenizer, text), *_ending(tokenizer)])
        case {"prompt": str(prompt), "completion": str(completion)}:
            # Tokenised apart, as `predict` will see the prompt: a token across the border would exist in training only.
            ids, mask = _joined(
                [*opening, *_ids(tokenizer, prompt)], [*_ids(tokenizer, completion), *_ending(tokenizer)]
            )
        case {"messages": list(messages)}:
            ids, mask = chat_template.encode(tokenizer, messages)
        case {"prompt": str(prompt)}:
            ids, mask = _joined([*opening, *_ids(tokenizer, prompt)], [])
        case _:
            ids, mask = _joined(chat_template.prompt_ids(tokenizer, row["context"]), [])
    if not ids:  # an empty prompt: a decoder needs one token to continue from
        ids, mask = [tokenizer.pad_token_id], [0]
    return ids, [0, *mask[1:]]


def _joined(given: list[int], learned: list[int]) -> tuple[list[int], list[int]]:
    return [*given, *learned], [0] * len(given) + [1] * len(learned)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _opening(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The beginning-of-text token, where the tokenizer puts one before a text."""
    begin = tokenizer.bos_token_id
    return [begin] if begin is not None and tokenizer("a")["input_ids"][:1] == [begin] else []


def _ending(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in _MODEL_INPUTS if name in batch}
