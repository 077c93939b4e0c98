"""What is token-classification: a tag for every word, or which parts of a text are entities, and of which kind?

Words that are given are joined by spaces: their places, and those of the answers, are characters of that text. A row
that is longer than the model reads is no problem: see `windows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerBase

from eagleray.metrics import strings
from eagleray.metrics.entities import OUTSIDE, EntityMetrics, Scheme, entities, parts, sequences, tags_of
from eagleray.tasks import tagging, windows, word_tokens
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_json, read_text
from eagleray.tasks.labels import read_label, unknown
from eagleray.tasks.windows import Layout, in_parts, model_inputs

_NO_TARGET = -1


@dataclass(frozen=True, slots=True)
class TokenClassification:
    """Rows: `{"words", "tags"}` or `{"text", "spans"}`. `labels` are those of entities, `tags` the model's outputs.

    Batches: `labels`, `target_weights` and `is_word` (windows, length) beside the inputs: the tag of each token, what
    it counts, and whether it is the first of a word that its window owns; `weights` (samples,).
    """

    labels_parts: ClassVar[bool] = True

    format: Literal["words", "spans"] = "words"
    words: str = "words"
    tags: str = "tags"
    text: str = "text"
    spans: str = "spans"
    scheme: Scheme = "bio"
    repair_tags: bool = False
    subwords: Literal["first", "all"] = "first"
    labels: tuple[str, ...] = ()
    overlap: int = 32

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "f1_micro", "max"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.words, self.tags) if self.format == "words" else (self.text, self.spans)

    def read(self, raw: Mapping[str, Any]) -> Row:
        row = self.read_input(raw)
        if self.format == "spans":
            if not row["text"].strip():
                raise ValueError(f"column `{self.text}` is empty")
            value = read_json(raw, self.spans, wanted="a list of spans")
            return {**row, "spans": tagging.read_spans(value, row["text"], column=self.spans)}
        given = _list(raw, self.tags, "a list of tags")
        if not row["words"]:
            raise ValueError(f"column `{self.words}` holds no word")
        if len(given) != len(row["words"]):
            raise ValueError(f"{len(row['words'])} words and {len(given)} tags: every word needs one")
        tags = [read_label(tag, column=self.tags) for tag in given]
        return {**row, "tags": tagging.checked(tags, self.scheme, repair=self.repair_tags)}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        if self.format == "spans":
            return {"text": read_text(raw, self.text, may_be_empty=True)}
        words = _list(raw, self.words, "a list of words")
        return {"words": [_word(word, number, self.words) for number, word in enumerate(words, start=1)]}

    def identity(self, row: Row) -> str:
        return _text(row)

    def labels_of(self, row: Row) -> tuple[str, ...]:
        if "spans" in row:
            return tuple(sorted({span["label"] for span in row["spans"]}))
        split = (parts(tag, self.scheme) for tag in row["tags"])
        return tuple(sorted({label for prefix, label in split if prefix != OUTSIDE}))

    def with_labels(self, labels: tuple[str, ...]) -> TokenClassification:
        return replace(self, labels=labels)

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Besides: `starts`, `ends`, the characters of the word that begins with a token, `is_word` where one does.

        All tokens are kept; `full_length` says `max_length` of more, because nothing of them is cut.
        """
        windows.check_tokenizer(tokenizer, "token-classification")
        names = ("input_ids", "num_before", "num_after", "is_word", "starts", "ends")
        are_labelled = bool(rows) and all("tags" in row or "spans" in row for row in rows)
        columns: dict[str, list[Any]] = {name: [] for name in (*names, "full_length", "num_targets")}
        columns.update({"label_ids": []} if are_labelled else {"shown": []})
        for row in rows:
            words = places(row)
            tokens = word_tokens.split(_text(row), words, tokenizer)
            for name in names:
                columns[name].append(tokens[name])
            columns["full_length"].append(min(len(tokens["input_ids"]), max_length))
            if are_labelled:
                columns["label_ids"].append(self._label_ids(self._tags_of(row, words), tokens))
                columns["num_targets"].append(sum(label != _NO_TARGET for label in columns["label_ids"][-1]))
            else:
                columns["shown"].append(_text(row))
                columns["num_targets"].append(0)
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("token-classification has an output a word: samples cannot be packed")
        layout = Layout(samples, max_length=max_length, overlap=self.overlap)
        batch = layout.inputs(pad_id=pad_id)
        batch["is_word"] = layout.column("is_word", value=0, dtype=np.bool_) & batch["owned"]
        batch["weights"] = torch.as_tensor(weights, dtype=torch.float32)
        if "label_ids" in samples[0]:
            labels = layout.column("label_ids", value=_NO_TARGET)
            counted = (labels != _NO_TARGET) & batch["owned"]
            batch["labels"] = labels.clamp_min(0)
            batch["target_weights"] = counted * batch["weights"][batch["sample"]].unsqueeze(1)
        else:
            batch["starts"] = layout.column("starts", value=0)
            batch["ends"] = layout.column("ends", value=0)
            batch["shown"] = strings.tensor([[sample["shown"]] for sample in samples])
        return batch

    def num_targets(self, batch: Batch) -> float:
        """Tokens that learn a tag."""
        return float(batch["target_weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = forward(**model_inputs(batch)).logits.float()
        losses = _losses(logits, batch["labels"], label_smoothing=label_smoothing)
        return (losses * batch["target_weights"]).sum(), logits

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        """A sample's mean over its targets; 0 where it has none."""
        weights = batch["target_weights"]
        sums = torch.zeros(2, len(batch["weights"]), device=logits.device)
        sums[0].index_add_(0, batch["sample"], (_losses(logits, batch["labels"]) * weights).sum(dim=1))
        sums[1].index_add_(0, batch["sample"], weights.sum(dim=1))
        return (sums[0] / sums[1].clamp_min(1.0)).cpu()

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        chosen = batch["is_word"] & (batch["sample"] == row).unsqueeze(1)
        true, said = batch["labels"][chosen].tolist(), logits.argmax(dim=-1)[chosen].tolist()
        return Verdict(self._shown(true), self._shown(said), true != said)

    @property
    def numbered(self) -> tuple[str, ...]:
        return ()

    def compared(self, logits: torch.Tensor, batch: Batch) -> Iterator[tuple[list[str], list[str]]]:
        """The tags of the words."""
        found = sequences(logits, batch, tags_of(self.labels, self.scheme))
        return (found.get(sample, ([], [])) for sample in range(len(batch["weights"])))

    def shown(self, row: Row) -> str:
        return _text(row)

    def new_metrics(self) -> EntityMetrics:
        return EntityMetrics(self.labels, self.scheme)

    def model_class(self) -> type[Any]:
        return AutoModelForTokenClassification

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        tags = tags_of(self.labels, self.scheme)
        return {
            "num_labels": len(tags),
            "id2label": dict(enumerate(tags)),
            "label2id": {tag: number for number, tag in enumerate(tags)},
            "pad_token_id": tokenizer.pad_token_id,
        }

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        """Spans in characters; `score` is the mean probability of the tags of a span, that of a row its least sure."""
        best = [torch.stack(model(**part).logits.float().softmax(dim=-1).max(dim=-1)) for part in in_parts(batch)]
        scores, tags = torch.cat(best, dim=1)
        return [
            self._answer(text, scores, tags.long(), batch, sample)
            for sample, (text,) in enumerate(map(strings.read, batch["shown"]))
        ]

    def _answer(self, text: str, scores: torch.Tensor, tags: torch.Tensor, batch: Batch, sample: int) -> dict[str, Any]:
        chosen = batch["is_word"] & (batch["sample"] == sample).unsqueeze(1)
        starts, ends = batch["starts"][chosen].tolist(), batch["ends"][chosen].tolist()
        probabilities = scores[chosen].tolist()
        found = []
        for label, first, last in self._entities(tags[chosen].tolist()):
            mean = sum(probabilities[first : last + 1]) / (last + 1 - first)
            start, end = starts[first], ends[last]
            found.append({"start": start, "end": end, "label": label, "text": text[start:end], "score": round(mean, 6)})
        return {"spans": found, "score": round(min(probabilities, default=1.0), 6)}

    def _entities(self, numbers: Sequence[int]) -> list[tuple[str, int, int]]:
        tags = tags_of(self.labels, self.scheme)
        return entities([tags[number] for number in numbers], self.scheme)

    def _shown(self, numbers: Sequence[int]) -> str:
        """Entities by the numbers of their words, the first being 1."""
        found = [
            f"{label} {first + 1}" + (f"-{last + 1}" if last > first else "")
            for label, first, last in self._entities(numbers)
        ]
        return ", ".join(found) or "none"

    def _tags_of(self, row: Row, words: list[tuple[int, int]]) -> list[str]:
        if "tags" in row:
            return list(row["tags"])
        return tagging.tagged(len(words), tagging.covered(words, row["spans"]), self.scheme)

    def _label_ids(self, tags: Sequence[str], tokens: Mapping[str, list[int]]) -> list[int]:
        number_of = {tag: number for number, tag in enumerate(tags_of(self.labels, self.scheme))}
        for tag in tags:
            if tag not in number_of:
                unknown(parts(tag, self.scheme)[1], self.labels)
        return [
            number_of[tags[word]] if word >= 0 and (is_first or self.subwords == "all") else _NO_TARGET
            for word, is_first in zip(tokens["word"], tokens["is_word"], strict=True)
        ]


def places(row: Row) -> list[tuple[int, int]]:
    """Where the words of a row are in its text: characters, the end exclusive."""
    if "text" in row:
        return tagging.words_of(row["text"])
    places, at = [], 0
    for word in row["words"]:
        places.append((at, at + len(word)))
        at += len(word) + 1
    return places


def _losses(logits: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """(windows, length)."""
    return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none", label_smoothing=label_smoothing)


def _text(row: Row) -> str:
    return str(row["text"]) if "text" in row else " ".join(row["words"])


def _list(raw: Mapping[str, Any], column: str, wanted: str) -> list[Any]:
    value = read_json(raw, column, wanted=wanted)
    if not isinstance(value, list):
        raise ValueError(f"column `{column}` holds {type(value).__name__}: {wanted} is needed")
    return value


def _word(value: Any, number: int, column: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"column `{column}`: word {number} is {value!r}: text is needed")
    if not value.strip():
        raise ValueError(f"column `{column}`: word {number} is empty: leave it and its tag out")
    return value
