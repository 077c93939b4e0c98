"""What is question-answering: which part of a text answers a question about it, if any does?

The question stands in every window of a long text (see `windows`). A window that does not hold the whole answer learns
to point at its first token, which stands for having none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForQuestionAnswering, PreTrainedTokenizerBase

from eagleray.metrics import answers, strings
from eagleray.metrics.answers import AnswerMetrics, Choice
from eagleray.model.outputs import logits as logits_of
from eagleray.tasks import windows
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.columns import read_json, read_text
from eagleray.tasks.windows import Layout, in_parts, model_inputs

_CONTEXT = 1  # the second text of a pair


@dataclass(frozen=True, slots=True)
class QuestionAnswering:
    """Rows: `{"question", "context", "answers"}`, an answer being `{"text", "start"}`; [] where there is none.

    Batches: `first`, `last` (windows,) the tokens of the answer, `window_weights` (windows,), `starts`, `ends` and
    `is_context` (windows, length), `context` and `answers` as texts of each sample, beside the inputs.
    """

    question: str = "question"
    context: str = "context"
    answers: str = "answers"
    unanswerable: bool = False
    null_threshold: float = 0.0
    max_answer_length: int = 30
    max_question_length: int = 64
    overlap: int = 64

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "f1", "max"

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.question, self.context, self.answers)

    def read(self, raw: Mapping[str, Any]) -> Row:
        row = self.read_input(raw)
        for key, column in (("question", self.question), ("context", self.context)):
            if not row[key].strip():
                raise ValueError(f"column `{column}` is empty")
        given = _answers(read_json(raw, self.answers, wanted="SQuAD's answers"), self.answers)
        if not given and not self.unanswerable:
            raise ValueError(f"column `{self.answers}` has no answer: set task.unanswerable: true where rows have none")
        for answer in given:
            _check_place(answer, row["context"], self.answers)
        return {**row, "answers": given}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        return {
            "question": read_text(raw, self.question, may_be_empty=True),
            "context": read_text(raw, self.context, may_be_empty=True),
        }

    def identity(self, row: Row) -> str:
        return f"{len(row['question'])}:{row['question']}{row['context']}"

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> QuestionAnswering:
        return self

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """Besides: `starts`, `ends`, the characters of each token of the context, and `answer`, its first and last
        token, (-1, -1) where there is none.

        All tokens are kept; `full_length` says `max_length` of more, because nothing of them is cut.
        """
        windows.check_tokenizer(tokenizer, "question-answering")
        names = ["input_ids", "num_before", "num_after", "starts", "ends", "full_length", "num_targets", "shown"]
        if "token_type_ids" in tokenizer.model_input_names:
            names.append("token_type_ids")
        if rows and all("answers" in row for row in rows):
            names += ["answer", "gold"]
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for row in rows:
            question = _cut(row["question"], tokenizer, num_tokens=min(self.max_question_length, max_length // 2))
            tokens = _tokens(question, row["context"], tokenizer)
            tokens["full_length"] = min(len(tokens["input_ids"]), max_length)
            tokens["num_targets"] = int("answers" in row)
            tokens["shown"] = row["context"]
            if "answers" in row:
                tokens["answer"] = _place(row, tokens)
                # Having none is the empty answer, as in SQuAD's script.
                tokens["gold"] = [answer["text"] for answer in row["answers"]] or [""]
            for name in names:
                columns[name].append(tokens[name])
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("question-answering has one answer a row: samples cannot be packed")
        layout = Layout(samples, max_length=max_length, overlap=self.overlap)
        batch = layout.inputs(pad_id=pad_id)
        batch |= {
            "is_context": layout.shown,
            "starts": layout.column("starts", value=0),
            "ends": layout.column("ends", value=0),
            "context": strings.tensor([[sample["shown"]] for sample in samples]),
            "weights": torch.as_tensor(weights, dtype=torch.float32),
        }
        if "answer" in samples[0]:
            places = [_in_window(window.tokens, samples[window.sample]["answer"]) for window in layout.windows]
            first, last = torch.tensor(places, dtype=torch.int64).unbind(dim=1)
            shares = 1.0 / torch.bincount(batch["sample"], minlength=len(samples))
            batch |= {
                "first": first,
                "last": last,
                "window_weights": (batch["weights"] * shares)[batch["sample"]],
                "answers": strings.tensor([list(sample["gold"]) for sample in samples]),
            }
        return batch

    def num_targets(self, batch: Batch) -> float:
        """Rows, however many windows they have."""
        return float(batch["weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a row the mean over its windows, of a window the mean of its two places."""
        logits = logits_of(forward(**model_inputs(batch))).float()
        if label_smoothing:
            raise ValueError("label smoothing would ask for answers outside of the context")
        return (_losses(logits, batch) * batch["window_weights"]).sum(), logits

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        shares = 1.0 / torch.bincount(batch["sample"], minlength=len(batch["weights"]))
        sums = torch.zeros(len(batch["weights"]), device=logits.device)
        return sums.index_add_(0, batch["sample"], _losses(logits, batch) * shares[batch["sample"]]).cpu()

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        chosen = batch["sample"] == row
        here = {name: batch[name][chosen] for name in ("owned", "is_context", "starts", "ends")}
        here |= {"sample": torch.zeros_like(batch["sample"][chosen]), "weights": batch["weights"][row : row + 1]}
        here["context"] = batch["context"][row : row + 1]
        [said] = answers.best(logits[chosen], here, self._choice)
        true = strings.read(batch["answers"][row])
        is_wrong = not any(answers.exact_match(said.text, each) for each in true)
        return Verdict(true[0] or "none", said.text or "none", is_wrong, answer_probability=said.score)

    @property
    def numbered(self) -> tuple[str, ...]:
        return ()

    def compared(self, logits: torch.Tensor, batch: Batch) -> Iterator[tuple[str, list[str]]]:
        """An answer beside all true ones; "" where there is none."""
        for said, true in zip(answers.best(logits, batch, self._choice), batch["answers"], strict=True):
            yield said.text, strings.read(true)

    def shown(self, row: Row) -> str:
        return f"{row['question']}\n{row['context']}"

    def new_metrics(self) -> AnswerMetrics:
        return AnswerMetrics(self._choice)

    def model_class(self) -> type[Any]:
        return AutoModelForQuestionAnswering

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {"num_labels": 2, "pad_token_id": tokenizer.pad_token_id}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        """The best answer, in characters of the context; `score` is its probability among all that are allowed."""
        logits = torch.cat([logits_of(model(**part)).float() for part in in_parts(batch)])
        return [
            {"answer": each.text, "start": each.start, "end": each.end, "score": each.score}
            for each in answers.best(logits, batch, self._choice)
        ]

    @property
    def _choice(self) -> Choice:
        return Choice(self.max_answer_length, has_none=self.unanswerable, null_threshold=self.null_threshold)


def _losses(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(windows,). Padding cannot be an answer, or the loss would depend on how much of it there is."""
    open_to = logits.masked_fill(batch["attention_mask"].unsqueeze(-1) == 0, -torch.inf)
    begins = functional.cross_entropy(open_to[..., 0], batch["first"], reduction="none")
    finishes = functional.cross_entropy(open_to[..., 1], batch["last"], reduction="none")
    return (begins + finishes) / 2


def _tokens(question: str, context: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    encoded = tokenizer(question, context, return_offsets_mapping=True, return_token_type_ids=True, verbose=False)
    sequences = encoded.sequence_ids(0)
    inside = [place for place, sequence in enumerate(sequences) if sequence == _CONTEXT]
    length = len(encoded["input_ids"])
    before = inside[0] if inside else length
    places = [
        windows.trimmed(context, *offsets) if sequence == _CONTEXT else (0, 0)
        for sequence, offsets in zip(sequences, encoded["offset_mapping"], strict=True)
    ]
    return {
        "input_ids": list(encoded["input_ids"]),
        "token_type_ids": list(encoded["token_type_ids"]),
        "num_before": before,
        "num_after": length - 1 - inside[-1] if inside else 0,
        "starts": [start for start, _ in places],
        "ends": [end for _, end in places],
    }


def _cut(question: str, tokenizer: PreTrainedTokenizerBase, *, num_tokens: int) -> str:
    """A question without what would leave the context no room."""
    found = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    return question if len(found) <= num_tokens else question[: found[num_tokens - 1][1]]


def _place(row: Row, tokens: Mapping[str, Any]) -> list[int]:
    """The tokens that the first answer lies in; [-1, -1] where there is none, or the tokenizer makes nothing of it."""
    if not row["answers"]:
        return [-1, -1]
    start = row["answers"][0]["start"]
    end = start + len(row["answers"][0]["text"])
    inside = [
        place
        for place, (begin, finish) in enumerate(zip(tokens["starts"], tokens["ends"], strict=True))
        if begin < finish and begin < end and finish > start
    ]
    return [inside[0], inside[-1]] if inside else [-1, -1]


def _in_window(tokens: np.ndarray, answer: Any) -> tuple[int, int]:
    """Where an answer stands among the tokens of a window; at the first one where it does not, or not as a whole."""
    first, last = (np.flatnonzero(tokens == place) for place in (answer[0], answer[1]))
    return (int(first[0]), int(last[0])) if len(first) and len(last) else (0, 0)


def _answers(value: Any, column: str) -> list[dict[str, Any]]:
    """SQuAD's two forms as one: texts and places in two lists, or a list of objects."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise ValueError(f"column `{column}`: `text` and `answer_start` must be lists of equal length")
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise ValueError(f'column `{column}`: SQuAD\'s answers are {{"text": […], "answer_start": […]}}')
    return [{"text": each.get("text"), "start": each.get("answer_start")} for each in value]


def _check_place(answer: Mapping[str, Any], context: str, column: str) -> None:
    text, start = answer["text"], answer["start"]
    if not isinstance(text, str) or not text.strip() or not isinstance(start, int):
        raise ValueError(f"column `{column}`: an answer has `text`, not empty, and `answer_start`, a whole number")
    if start >= 0 and context[start : start + len(text)] == text:
        return
    found = context.find(text)
    where = (
        f"it is at {found}" if found >= 0 else "it is nowhere in it; an answer is a part of its context, to the letter"
    )
    raise ValueError(f"column `{column}`: the answer {text!r} is not at character {start} of the context: {where}")
