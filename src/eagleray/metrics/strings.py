"""How does text travel in a batch, which holds tensors alone? As code points.

So a metric that compares texts gets them with the logits, on whatever worker, and cuts them by character.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

_END, _PADDING = -1, -2


def tensor(rows: Sequence[Sequence[str]]) -> torch.Tensor:
    """Any number of texts a row: (rows, longest) int32."""
    codes = [[code for text in texts for code in (*map(ord, text), _END)] for texts in rows]
    longest = max(map(len, codes), default=0)
    filled = [row + [_PADDING] * (longest - len(row)) for row in codes]
    return torch.tensor(filled, dtype=torch.int32).reshape(len(codes), longest)


def read(row: torch.Tensor) -> list[str]:
    """The texts of one row."""
    texts: list[str] = []
    begun: list[str] = []
    for code in row.tolist():
        if code == _PADDING:
            break
        if code == _END:
            texts.append("".join(begun))
            begun = []
        else:
            begun.append(chr(code))
    return texts
