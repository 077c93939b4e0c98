"""How many words and pairs of words do two texts share, and how long is what they share in order (Lin 2004)?

Counted as the package rouge-score does without stemming. That one is not used here: importing it brings absl, which
takes the process's logging over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[a-z0-9]+")


def f_measures(text: str, reference: str) -> tuple[float, float, float]:
    """The F of ROUGE-1, ROUGE-2 and ROUGE-L, from 0 to 1. Words are of Latin letters and digits, in lower case."""
    said, wanted = (_WORD.findall(each.lower()) for each in (text, reference))
    return _of_ngrams(said, wanted, 1), _of_ngrams(said, wanted, 2), _of_order(said, wanted)


def _of_ngrams(said: Sequence[str], wanted: Sequence[str], length: int) -> float:
    ours, theirs = (
        Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1)) for words in (said, wanted)
    )
    return _f((ours & theirs).total(), ours.total(), theirs.total())


def _of_order(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Of the longest common subsequence, by the table of lengths, a row at a time."""
    lengths = [0] * (len(wanted) + 1)
    for word in said:
        before = 0  # of the row above, one to the left
        for place, other in enumerate(wanted, start=1):
            above = lengths[place]
            lengths[place] = before + 1 if word == other else max(above, lengths[place - 1])
            before = above
    return _f(lengths[-1], len(said), len(wanted))


def _f(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs) if shared else 0.0
