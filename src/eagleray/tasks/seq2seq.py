"""What is seq2seq: a summary, a translation or any other text, made of a text by an encoder and a decoder?"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedTokenizerBase

from eagleray.metrics.perplexity import PerplexityMetrics
from eagleray.spec import reported
from eagleray.tasks import targets
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_text
from eagleray.tasks.labels import unknown
from eagleray.tasks.padding import attention_mask, pad
from eagleray.tasks.text_classification import tokenize

_NO_TARGET = -100
"""What every model of transformers takes for no target."""


@dataclass(frozen=True, slots=True)
class Seq2Seq:
    """Rows: `{"source", "target"}`, and `"pair"` where there are several.

    Batches: `targets` (rows, length of the longest target) int64, and `target_weights` likewise, float32, 0 for padding
    and filler.
    """

    preset: Literal["text", "summarization", "translation"] = "text"
    source: str = "source"
    target: str = "target"
    prefix: str = ""
    pair: str | None = None
    pairs: Mapping[str, str] = field(default_factory=dict)
    max_target_length: int = 128
    max_new_tokens: int = 64
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    generate_for: tuple[str, ...] = ("test",)
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
        return tuple(filter(None, (self.source, self.target, self.pair)))

    def read(self, raw: Mapping[str, Any]) -> Row:
        row = self.read_input(raw)
        if not row["source"].strip():
            raise ValueError(f"column `{self.source}` is empty")
        return {**row, "target": read_text(raw, self.target)}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        row = {"source": read_text(raw, self.source, may_be_empty=True)}
        if self.pair is not None:
            row["pair"] = read_text(raw, self.pair)
            if row["pair"] not in self.pairs:
                unknown(row["pair"], tuple(self.pairs))
        return row

    def identity(self, row: Row) -> str:
        return f"{row.get('pair', '')}:{row['source']}"

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> Seq2Seq:
        return self

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Besides: `target_ids`, at most `max_target_length`. Of what is too long the end is lost."""
        sources = [self.prefix + self.pairs.get(row.get("pair", ""), "") + row["source"] for row in rows]
        columns = tokenize(tokenizer, sources, None, max_length=max_length)
        if not rows or not all("target" in row for row in rows):
            return {**columns, "num_targets": [0] * len(rows)}
        wanted = tokenizer(
            text_target=[row["target"] for row in rows],
            truncation=True,
            max_length=self.max_target_length,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        return {**columns, "target_ids": list(wanted), "num_targets": [len(ids) for ids in wanted]}

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("seq2seq has an encoder, whose samples cannot be packed")
        batch = {
            "input_ids": pad([sample["input_ids"] for sample in samples], value=pad_id),
            "attention_mask": attention_mask([len(sample["input_ids"]) for sample in samples]),
        }
        if "target_ids" in samples[0]:
            lengths = [len(sample["target_ids"]) for sample in samples]
            counted = attention_mask(lengths) * torch.as_tensor(weights, dtype=torch.float32).unsqueeze(1)
            batch["targets"] = pad([sample["target_ids"] for sample in samples], value=pad_id)
            batch["target_weights"] = counted
        return batch

    def num_targets(self, batch: Batch) -> float:
        """Target tokens."""
        return float(batch["target_weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits returned are those of the counted targets alone, (targets, vocabulary)."""
        counted = batch["target_weights"] > 0
        # Given as labels, because each model knows by itself with which token its decoder begins.
        labels = batch["targets"].masked_fill(~counted, _NO_TARGET)
        logits = forward(**_inputs(batch), labels=labels).logits
        return targets.summed_loss(logits, batch, label_smoothing=label_smoothing)

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        """A row's mean over its targets; 0 where it has none."""
        return targets.row_means(logits, batch)

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        """A text is not right or wrong."""
        return Verdict(is_wrong=False)

    @property
    def written_by(self) -> tuple[str, ...]:
        return reported.GENERATED[self.preset]

    def prompted(self, row: Row) -> Row:
        return {name: value for name, value in row.items() if name != "target"}

    def wanted(self, row: Row) -> str:
        return str(row["target"])

    def shown(self, row: Row) -> str:
        return f"{row['source']}\n→ {row['target']}"

    def new_metrics(self) -> PerplexityMetrics:
        return PerplexityMetrics()

    def model_class(self) -> type[Any]:
        return AutoModelForSeq2SeqLM

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {"pad_token_id": tokenizer.pad_token_id}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        generated = model.generate(**_inputs(batch), generation_config=self._settings(model))
        return [{"text": text} for text in tokenizer.batch_decode(generated, skip_special_tokens=True)]

    def _settings(self, model: Any) -> GenerationConfig:
        """The document's, over what the model says of its special tokens; its lengths and its search are not ours."""
        settings: GenerationConfig = copy.deepcopy(model.generation_config)
        settings.update(  # type: ignore[no-untyped-call]
            max_new_tokens=min(self.max_new_tokens, getattr(model.config, "max_position_embeddings", None) or 2**31),
            max_length=None,
            min_length=None,
            do_sample=False,
            num_beams=self.num_beams,
            length_penalty=self.length_penalty if self.num_beams > 1 else None,
            early_stopping=False if self.num_beams > 1 else None,
            no_repeat_ngram_size=self.no_repeat_ngram,
        )
        return settings


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in ("input_ids", "attention_mask")}
