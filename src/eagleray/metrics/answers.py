"""Which part of a text is the answer, and how well does it agree with those that people gave?

Counted as SQuAD's official scripts count (Rajpurkar et al. 2016 and 2018): the best agreement with any of a row's
answers, without case, punctuation and articles. Version 1.1 knows no question without an answer, version 2.0 does.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eagleray.metrics import strings

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of a context; "" from 0 to 0 where it does not answer the question."""

    text: str
    start: int
    end: int
    score: float  # its probability among all answers that are allowed


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be answered."""

    max_answer_length: int  # tokens
    has_none: bool  # whether "" may be said
    null_threshold: float = 0.0


def normalised(text: str) -> str:
    """A text as the scripts compare it."""
    plain = "".join(each for each in text.lower() if each not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(said: str, true: str) -> float:
    """1 where both are the same once normalised."""
    return float(normalised(said) == normalised(true))


def f1(said: str, true: str, *, has_none: bool) -> float:
    """The agreement of words. With `has_none` two empty answers agree, as in version 2.0 of the script."""
    ours, theirs = normalised(said).split(), normalised(true).split()
    if has_none and not (ours and theirs):
        return float(ours == theirs)
    same = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * same / (len(ours) + len(theirs)) if same else 0.0


def best(logits: torch.Tensor, batch: dict[str, torch.Tensor], choice: Choice) -> Iterator[Answer]:
    """The answer to each sample, from `logits` (windows, length, 2).

    An answer begins at a token that its window owns, and ends in the same window. The score of having none is the
    lowest that any window gives to its first token.
    """
    logits = logits.detach().float().cpu()
    samples, owned, is_context = (batch[name].cpu() for name in ("sample", "owned", "is_context"))
    starts, ends = batch["starts"].cpu(), batch["ends"].cpu()
    for sample in range(len(batch["weights"])):
        rows = (samples == sample).nonzero().flatten().tolist()
        nulls = [float(logits[row, 0].sum()) for row in rows]
        scores = [_scores(logits[row], owned[row], is_context[row], choice.max_answer_length) for row in rows]
        every = [each.flatten() for each in scores] + ([torch.tensor([min(nulls)])] if choice.has_none else [])
        total = float(torch.cat(every).logsumexp(dim=0))
        tops = [float(each.max()) for each in scores]
        number = max(range(len(rows)), key=tops.__getitem__)
        is_none = choice.has_none and min(nulls) - tops[number] > choice.null_threshold
        if is_none or tops[number] == -torch.inf:
            score = min(nulls) - total if choice.has_none else -torch.inf
            yield Answer("", 0, 0, _probability(score))
            continue
        first, length = divmod(int(scores[number].argmax()), scores[number].shape[1])
        row = rows[number]
        start, end = int(starts[row, first]), int(ends[row, first + length])
        [context] = strings.read(batch["context"][sample])
        yield Answer(context[start:end], start, end, _probability(tops[number] - total))


class AnswerMetrics:
    """State: loss, rows; exact matches and F1; and with `has_none` rows that have an answer, exact matches and F1 of
    those, rows that have none, and how many of these are left without one."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self.state = torch.zeros(9, dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add samples: `logits` (windows, length, 2), `batch["answers"]` and `batch["context"]` as texts."""
        self.state[0] += loss_sum
        for sample, (weight, said) in enumerate(
            zip(batch["weights"].tolist(), best(logits, batch, self._choice), strict=True)
        ):
            if weight:
                self.state[1:] += torch.tensor(self._counts(said.text, strings.read(batch["answers"][sample])))

    def compute(self) -> dict[str, Any]:
        """Shares from 0 to 1, where the scripts print percents."""
        loss, rows, exact, agreement, answered, exact_there, agreement_there, unanswered, left = self.state.tolist()
        told = {
            "loss": loss / max(rows, 1.0),
            "exact_match": exact / max(rows, 1.0),
            "f1": agreement / max(rows, 1.0),
        }
        if not self._choice.has_none:
            return told
        return {
            **told,
            "has_answer_exact_match": exact_there / max(answered, 1.0),
            "has_answer_f1": agreement_there / max(answered, 1.0),
            "no_answer_accuracy": left / max(unanswered, 1.0),
        }

    def _counts(self, said: str, true: Sequence[str]) -> list[float]:
        has_none, is_answered = self._choice.has_none, list(true) != [""]
        if has_none:  # the script leaves answers out that are nothing but articles
            true = [each for each in true if normalised(each)] or [""]
        exact = max(exact_match(said, each) for each in true)
        agreement = max(f1(said, each, has_none=has_none) for each in true)
        if is_answered:
            return [1.0, exact, agreement, 1.0, exact, agreement, 0.0, 0.0]
        return [1.0, exact, agreement, 0.0, 0.0, 0.0, 1.0, exact]


def _scores(logits: torch.Tensor, owned: torch.Tensor, is_context: torch.Tensor, longest: int) -> torch.Tensor:
    """What the answer of each first token (length) and each number of further tokens has, -inf where none is."""
    begins = logits[:, 0].masked_fill(~owned, -torch.inf)
    finishes = logits[:, 1].masked_fill(~is_context, -torch.inf)
    longest = min(longest, len(begins))
    beyond = finishes.new_full((longest - 1,), -torch.inf)
    return begins.unsqueeze(1) + torch.cat([finishes, beyond]).unfold(0, longest, 1)


def _probability(score: float) -> float:
    return round(float(torch.tensor(score).exp()), 6)
