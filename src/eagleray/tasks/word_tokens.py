"""Which tokens is each word of a text made of?"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import Any

from transformers import PreTrainedTokenizerBase

from eagleray.tasks import windows


def split(text: str, words: list[tuple[int, int]], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The tokens of a text, special ones among them, and which of `words` (characters) each is of, -1 for none.

    Columns a token: `input_ids`, `word`, `is_word` where one begins, and its `starts` and `ends` in characters; besides
    `num_before` and `num_after`, the special tokens at both sides.

    A word that the tokenizer makes nothing of, as of a control character, becomes the unknown token: it has a tag, too.
    """
    encoded = tokenizer(text, return_offsets_mapping=True, return_token_type_ids=False, verbose=False)
    given = zip(encoded["input_ids"], encoded.sequence_ids(0), encoded["offset_mapping"], strict=True)
    begins = [start for start, _ in words]
    laid: list[tuple[int, int, bool]] = []  # token, word, whether it belongs to the text
    due = 0  # the word that comes next

    def lay_unknown(until: int) -> None:
        nonlocal due
        if tokenizer.unk_token_id is not None:
            laid.extend((tokenizer.unk_token_id, word, True) for word in range(due, until))
        due = max(due, until)

    for token, sequence, (start, end) in given:
        if sequence is None:
            if laid and laid[-1][2]:  # the text has ended
                lay_unknown(len(words))
            laid.append((token, -1, False))
            continue
        start, end = windows.trimmed(text, start, end)
        word = bisect_right(begins, start) - 1
        if start == end or word < 0 or start >= words[word][1]:
            laid.append((token, -1, True))
            continue
        lay_unknown(word)
        laid.append((token, word, True))
        due = max(due, word + 1)
    if laid and laid[-1][2]:
        lay_unknown(len(words))
    return _columns(laid, words)


def _columns(laid: list[tuple[int, int, bool]], words: list[tuple[int, int]]) -> dict[str, Any]:
    inside = [number for number, (_, _, is_text) in enumerate(laid) if is_text]
    word = [number for _, number, _ in laid]
    seen = itertools.accumulate([-1, *word], max)
    is_word = [int(here > before) for here, before in zip(word, seen, strict=False)]
    return {
        "input_ids": [token for token, _, _ in laid],
        "num_before": inside[0] if inside else len(laid),
        "num_after": len(laid) - 1 - inside[-1] if inside else 0,
        "word": word,
        "is_word": is_word,
        "starts": [words[here][0] if here >= 0 else 0 for here in word],
        "ends": [words[here][1] if here >= 0 else 0 for here in word],
    }
