"""How near does a generated text come to the one that was wanted? ROUGE, BLEU, chrF and METEOR, as sums.

BLEU is sacrebleu's; chrF is made of the same counts as sacrebleu's (Popović 2015). ROUGE is the mean F (`rouge`) and
METEOR the mean of nltk's by words and their stems, and where WordNet's files are named by synonyms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.meteor_score import single_meteor_score
from sacrebleu.metrics.bleu import BLEU

from eagleray.metrics import rouge
from eagleray.metrics.wordnet import WordNet
from eagleray.spec import reported

_ORDERS, _CHARACTERS = 4, 6
_BETA2 = 4.0  # recall counts twice what precision does
_ROWS, _ROUGE, _METEOR, _BLEU, _CHRF = 0, slice(1, 4), 4, slice(5, 15), slice(15, 33)
_EXACT = 33
_SIZE = 34


class TextMetrics:
    """State, of each pair (of the one there is where there are none): rows; sums of ROUGE-1, 2, L and METEOR; BLEU's
    lengths, and right and all n-grams; chrF's n-grams of the text, of the wanted one, and of both, by their length;
    texts that are just the wanted one."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        pairs: Sequence[str] = (),
        bleu_tokenizer: str = "13a",
        wordnet: WordNet | None = None,
    ) -> None:
        self._names, self._pairs = tuple(names), tuple(pairs)
        self._wordnet = wordnet or _NoSynonyms()
        self._bleu = BLEU(tokenize=bleu_tokenizer)
        self.state = torch.zeros(max(len(pairs), 1) * _SIZE, dtype=torch.float64)

    def update(self, said: Sequence[str], wanted: Sequence[str], pairs: Sequence[str | None] = ()) -> None:
        """Add texts and what they should have been, each of the pair of that name."""
        sums = self.state.view(-1, _SIZE)
        for number, (text, reference) in enumerate(zip(said, wanted, strict=True)):
            pair = self._pairs.index(pairs[number] or "") if self._pairs else 0
            sums[pair] += self._counts(text, reference)

    def compute(self) -> dict[str, float]:
        """BLEU and chrF from 0 to 100, as is their custom, the others from 0 to 1; of each pair as `bleu_en-de`."""
        sums = self.state.view(-1, _SIZE)
        found = self._scores(sums.sum(dim=0))
        for pair, own in zip(self._pairs, sums, strict=False):
            found |= {f"{name}_{pair}": value for name, value in self._scores(own).items()}
        return found

    def _counts(self, text: str, reference: str) -> torch.Tensor:
        counts = torch.zeros(_SIZE, dtype=torch.float64)
        counts[_ROWS] = 1
        if "rouge1" in self._names:
            counts[_ROUGE] = torch.tensor(rouge.f_measures(text, reference))
        if "meteor" in self._names:
            counts[_METEOR] = _meteor(text, reference, self._wordnet)
        if "exact_match" in self._names:
            counts[_EXACT] = text.strip() == reference.strip()
        if "bleu" in self._names:
            score = self._bleu.corpus_score([text], [[reference]])
            counts[_BLEU] = torch.tensor([score.sys_len, score.ref_len, *score.counts, *score.totals])
            counts[_CHRF] = torch.tensor(_character_counts(text, reference))
        return counts

    def _scores(self, sums: torch.Tensor) -> dict[str, float]:
        rows = max(float(sums[_ROWS]), 1.0)
        means = dict(zip((*reported.ROUGE, *reported.METEOR), (sums[1:5] / rows).tolist(), strict=True))
        said, wanted, *counts = sums[_BLEU].long().tolist()
        right, found = counts[:_ORDERS], counts[_ORDERS:]
        bleu = BLEU.compute_bleu(right, found, sys_len=said, ref_len=wanted, smooth_method="exp")
        exact = float(sums[_EXACT]) / rows
        scores = {**means, "bleu": float(bleu.score), "chrf": _chrf(sums[_CHRF].tolist()), "exact_match": exact}
        return {name: scores[name] for name in self._names}


class _NoSynonyms:
    """What nltk asks for the synonyms of a word."""

    def synsets(self, word: str) -> list[Any]:
        """None."""
        return []


def _meteor(text: str, reference: str, wordnet: WordNet | _NoSynonyms) -> float:
    return float(single_meteor_score(wordpunct_tokenize(reference), wordpunct_tokenize(text), wordnet=wordnet))


def _character_counts(text: str, reference: str) -> list[float]:
    """Of each length of n-grams: how many the text has, the reference has, and both have."""
    one, other = ("".join(each.split()) for each in (text, reference))
    counts: list[float] = []
    for length in range(1, _CHARACTERS + 1):
        ours, theirs = (Counter(each[i : i + length] for i in range(len(each) - length + 1)) for each in (one, other))
        counts += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return counts


def _chrf(counts: Sequence[float]) -> float:
    """The F of the mean precision and the mean recall over the lengths that both sides have."""
    triples = [counts[i : i + 3] for i in range(0, len(counts), 3)]
    both = [(match / ours, match / theirs) for ours, theirs, match in triples if ours and theirs]
    precision = sum(each for each, _ in both) / max(len(both), 1)
    recall = sum(each for _, each in both) / max(len(both), 1)
    product = _BETA2 * precision + recall
    return 100 * (1 + _BETA2) * precision * recall / product if product else 0.0
