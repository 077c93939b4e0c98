"""Which texts are much alike? MinHash signatures (Broder 1997), and rows that share a part of theirs compared.

Memory: a signature of 256 bytes a row lies in a file; looking for pairs takes a few numbers a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

PERMUTATIONS = 64
BANDS = 16
"""Rows whose signatures agree in one of 16 bands of 4 numbers are compared: of pairs with 0.8 in common 99.98 % are."""
PIECE = 5
"""Characters of a piece: long enough for a piece to say something, short enough for a changed word to spoil few."""
CHUNK = 50_000

_NO_WORD = re.compile(r"[\W_]+")
_MIX = np.uint64(0x9E3779B97F4A7C15)


def signatures(texts: Sequence[str]) -> np.ndarray:
    """Return the MinHash of each text's pieces: (texts, 64) uint32. Case, white space and punctuation do not count."""
    shown = [_plain(text) for text in texts]
    starts, hashes = _pieces(shown)
    found = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    for number, (factor, offset) in enumerate(_PERMUTED):
        permuted = (hashes * factor + offset) >> np.uint64(32)
        found[:, number] = np.minimum.reduceat(permuted, starts)
    return found


def groups(path: Path, *, rows: int, identities: np.ndarray, similarity: float) -> np.ndarray:
    """Return a group for each row, (rows,) uint64: equal for rows that are much alike, by a chain of such pairs.

    `path` holds the signatures, row by row; `identities`, (rows,) uint64, are equal for equal inputs.
    """
    stored = np.memmap(path, dtype=np.uint32, mode="r", shape=(rows, PERMUTATIONS))
    _, first, of_row = np.unique(identities, return_index=True, return_inverse=True)
    parents = np.arange(len(first))
    for left, right in _candidates(stored, first):
        for begin in range(0, len(left), CHUNK):
            part = slice(begin, begin + CHUNK)
            alike = (stored[first[left[part]]] == stored[first[right[part]]]).mean(axis=1) >= similarity
            _join(parents, left[part][alike], right[part][alike])
    roots = np.array([_root(parents, number) for number in range(len(parents))], dtype=np.int64)
    return identities[first[roots]][of_row]


def _candidates(stored: np.ndarray, first: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of neighbours that agree in a band, and of each with the first that has its band."""
    width = PERMUTATIONS // BANDS
    for band in range(BANDS):
        keys = _band_keys(stored, first, slice(band * width, (band + 1) * width))
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        yield order[:-1][same], order[1:][same]
        heads = np.maximum.accumulate(np.where(np.concatenate([[True], ~same]), np.arange(len(order)), 0))
        beyond = np.flatnonzero(np.arange(len(order)) - heads > 1)
        yield order[heads[beyond]], order[beyond]


def _band_keys(stored: np.ndarray, first: np.ndarray, columns: slice) -> np.ndarray:
    keys = np.empty(len(first), dtype=np.uint64)
    for begin in range(0, len(first), CHUNK):
        part = stored[first[begin : begin + CHUNK], columns].astype(np.uint64)
        key = np.zeros(len(part), dtype=np.uint64)
        for column in part.T:
            key = (key ^ column) * _MIX
            key ^= key >> np.uint64(29)
        keys[begin : begin + CHUNK] = key
    return keys


def _join(parents: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Unite the groups of pairs; the earlier row stands for both."""
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        one, other = _root(parents, one), _root(parents, other)
        if one != other:
            parents[max(one, other)] = min(one, other)


def _root(parents: np.ndarray, number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = int(parents[number])
    return number


def _plain(text: str) -> str:
    """What is compared: words alone. A text without any, of emoji perhaps, is compared as it is."""
    plain = _NO_WORD.sub(" ", text.casefold()).strip()
    return (plain or text).ljust(PIECE)


def _pieces(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of all pieces of all texts, uint64, and where each text's begin."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    hashes = np.zeros(len(codes) - PIECE + 1, dtype=np.uint64)
    for offset in range(PIECE):
        hashes = (hashes ^ codes[offset : offset + len(hashes)]) * _MIX
        hashes ^= hashes >> np.uint64(32)
    counts = lengths - PIECE + 1
    ends = np.cumsum(lengths)
    within = np.ones(len(codes), dtype=bool)
    for offset in range(PIECE - 1):  # pieces that reach into the next text
        within[ends - 1 - offset] = False
    return np.concatenate([[0], np.cumsum(counts)[:-1]]), hashes[within[: len(hashes)]]


def _permutations() -> list[tuple[np.uint64, np.uint64]]:
    """Odd factors and offsets, the same with every version of numpy."""
    words = np.random.Philox(np.random.SeedSequence(20_000)).random_raw(2 * PERMUTATIONS)
    return [(factor | np.uint64(1), offset) for factor, offset in words.reshape(-1, 2).astype(np.uint64)]


_PERMUTED = _permutations()
