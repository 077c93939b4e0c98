"""Which words mean the same as a word, for METEOR? Looked up in WordNet's files as they are, by bisection.

The forms of a word are those of WordNet's morphy with its lists of exceptions (morphy(7WN)), as nltk applies them.
nltk's own reader wants two files more than Debian's `wordnet-base` brings, and reads the whole index on each worker.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from eagleray.errors import UserError

_ENDINGS = {
    "noun": ("s:", "ses:s", "ves:f", "xes:x", "zes:z", "ches:ch", "shes:sh", "men:man", "ies:y"),
    "verb": ("s:", "ies:y", "es:e", "es:", "ed:e", "ed:", "ing:e", "ing:"),
    "adj": ("er:", "est:", "er:e", "est:e"),
    "adv": (),
}
"""By part of speech: an ending, and what stands in its place in the plain form."""
_KEPT_WORDS = 2**16


@dataclass(frozen=True, slots=True)
class Lemma:
    """A word of a meaning, as nltk asks for it."""

    text: str

    def name(self) -> str:
        """The word; `_` stands for spaces."""
        return self.text


@dataclass(frozen=True, slots=True)
class Synset:
    """A meaning."""

    words: tuple[str, ...]

    def lemmas(self) -> list[Lemma]:
        """The words that have it."""
        return [Lemma(word) for word in self.words]


class WordNet:
    """WordNet 3.0 in a folder. Lives as long as its process; any number of them share the pages of the files."""

    def __init__(self, folder: Path) -> None:
        """Open the files. Raises UserError where they are not there."""
        self._parts = [_Part(folder, name) for name in _ENDINGS]
        self.synsets = lru_cache(_KEPT_WORDS)(self._synsets)

    def _synsets(self, word: str) -> tuple[Synset, ...]:
        """The meanings of a word in any form."""
        return tuple(synset for part in self._parts for synset in part.synsets(word.lower()))


def files(folder: Path) -> list[Path]:
    """The files that are read."""
    return [folder / name for part in _ENDINGS for name in (f"index.{part}", f"data.{part}", f"{part}.exc")]


class _Part:
    """A part of speech."""

    def __init__(self, folder: Path, name: str) -> None:
        self._endings = tuple(each.split(":") for each in _ENDINGS[name])
        try:
            self._index, self._data = (_mapped(folder / f"{kind}.{name}") for kind in ("index", "data"))
            exceptions = (folder / f"{name}.exc").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(
                f"task.wordnet {folder}: these are not WordNet's files: {error}. Debian's package wordnet-base puts "
                "them into /usr/share/wordnet; leave the key out, and synonyms do not count"
            ) from error
        self._exceptions = {first: forms for first, *forms in map(str.split, exceptions.splitlines())}

    def synsets(self, word: str) -> Iterator[Synset]:
        """The meanings of a lower-case word."""
        forms = self._exceptions.get(word)
        if forms is None:
            forms = [word[: -len(old)] + new for old, new in self._endings if word.endswith(old)]
        for form in dict.fromkeys([word, *forms]):
            for offset in self._offsets(form):
                yield Synset(tuple(self._words(offset)))

    def _offsets(self, form: str) -> list[int]:
        """Where the meanings of a plain form are in the data."""
        wanted = form.encode()
        low, high = 0, len(self._index)
        while wanted and low < high:
            start = self._index.rfind(b"\n", 0, (low + high) // 2) + 1
            end = self._index.find(b"\n", start)
            fields = self._index[start:end].split()
            # The lines of the licence begin with spaces: they stand before every word.
            found = b"" if self._index[start : start + 1] == b" " else fields[0]
            if found == wanted:
                return [int(field) for field in fields[len(fields) - int(fields[2]) :]]
            low, high = (end + 1, high) if found < wanted else (low, start)
        return []

    def _words(self, offset: int) -> Iterator[str]:
        """The words of a meaning; `(p)` behind one says where it stands."""
        fields = self._data[offset : self._data.find(b"\n", offset)].decode().split()
        for number in range(int(fields[3], 16)):
            yield fields[4 + 2 * number].partition("(")[0]


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
