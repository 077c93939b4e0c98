"""Which words mean the same? From WordNet's files, or from a file with a group a line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eagleray.data.augment import units
from eagleray.data.draws import Draw, how_many
from eagleray.errors import DataError

PARTS = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}  # as the sense keys of cntlist.rev number them
CLEARLY = 0.75
"""A word is replaced where so much of its use is of one meaning: "buy" as a verb, not the noun; "light" not at all."""
SHORTEST = 4
"""Shorter English words hold a sentence together: "not", "was", "all"."""
_KEPT_WORDS = "never none nothing nobody nowhere neither hardly barely without cannot very much more most less"
KEPT = frozenset(_KEPT_WORDS.split())
"""Turn a sentence into its opposite, or measure it."""

_SEPARATORS = re.compile(r"[\s,;|，、；]+")


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Words become words of the same meaning, capitals kept."""

    rate: float
    of: dict[str, tuple[str, ...]]  # by lower-case word; () for one that is known and stays as it is
    longest: int  # characters of a word of a script without spaces

    def __call__(self, text: str, draw: Draw) -> str:
        parts = self._joined(units.split(text))
        able = [number for number, part in enumerate(parts) if self.of.get(part.lower())]
        for chosen in draw.sample(len(able), how_many(len(able), self.rate) if able else 0):
            word = parts[able[chosen]]
            parts[able[chosen]] = _cased(draw.choice(self.of[word.lower()]), word)
        return "".join(parts)

    def _joined(self, parts: list[str]) -> list[str]:
        """Characters put together to the longest word that is known, from the left on (forward maximum matching)."""
        found: list[str] = []
        place = 0
        while place < len(parts):
            size = self._size(parts, place) if units.stands_alone(parts[place]) else 1
            found.append("".join(parts[place : place + size]))
            place += size
        return found

    def _size(self, parts: list[str], place: int) -> int:
        run = 1
        while run < self.longest and place + run < len(parts) and units.stands_alone(parts[place + run]):
            run += 1
        return next((size for size in range(run, 1, -1) if "".join(parts[place : place + size]) in self.of), 1)


def load(path: Path, *, rate: float) -> Synonyms:
    """Read a directory of WordNet's files, or a file with a group a line.

    Raises:
        DataError: it is neither.
    """
    try:
        of = _wordnet(path) if path.is_dir() else _groups(path)
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: cannot be read as synonyms: {error}") from error
    if not any(of.values()):
        raise DataError(f"{path}: no synonyms: a line has a group, `big large great` or `Aa01= 人 士 人物`")
    longest = max((len(word) for word in of if units.stands_alone(word)), default=1)
    return Synonyms(rate=rate, of=of, longest=longest)


def files(path: Path) -> list[Path]:
    """The files that `load` reads."""
    if not path.is_dir():
        return [path]
    return [path / name for part in ("noun", "verb", "adj", "adv") for name in (f"index.{part}", f"data.{part}")] + [
        path / "cntlist.rev"
    ]


def _wordnet(path: Path) -> dict[str, tuple[str, ...]]:
    """By word the others of its usual meaning (WordNet 3.0, wndb(5WN)): the first sense of its usual part of speech.

    Meanings are counted in texts by cntlist.rev; a word that is not counted, or whose use is divided, is left out.
    """
    counts: defaultdict[str, defaultdict[tuple[str, int], int]] = defaultdict(lambda: defaultdict(int))
    for line in _lines(path / "cntlist.rev"):
        key, sense, count = line.split()
        lemma, _, lexical = key.partition("%")
        counts[lemma][PARTS[lexical[0]], int(sense)] += int(count)
    usual: dict[str, dict[str, str]] = defaultdict(dict)
    for lemma, senses in counts.items():
        part = max(senses, key=lambda sense: senses[sense])
        if part[1] == 1 and senses[part] >= CLEARLY * sum(senses.values()) and _may_change(lemma):
            usual[part[0]][lemma] = ""
    found: dict[str, tuple[str, ...]] = {}
    for name, lemmas in usual.items():
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for line in _lines(path / f"index.{name}"):
            lemma, _, rest = line.partition(" ")
            if lemma in lemmas:
                fields = rest.split()
                wanted[fields[5 + int(fields[2])]].append(lemma)  # the first offset, behind the pointers
        for line in _lines(path / f"data.{name}"):
            for lemma in wanted.get(line[:8], ()):
                others = tuple(other for other in _members(line) if other.lower() != lemma and _may_change(other))
                if others:
                    found[lemma] = others
    return found


def _members(line: str) -> Iterator[str]:
    """The words of a synonym set, those of several words left out; `(p)` behind one says where it stands."""
    fields = line.split()
    for number in range(int(fields[3], 16)):
        word = fields[4 + 2 * number].partition("(")[0]
        if "_" not in word:
            yield word


def _may_change(word: str) -> bool:
    return len(word) >= SHORTEST and word.isalpha() and word not in KEPT


def _groups(path: Path) -> dict[str, tuple[str, ...]]:
    """A group a line. With codes in front `=` marks synonyms, `#` and `@` what is only near, as in Cilin."""
    found: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if line.startswith("# "):
            continue
        code, mark, rest = line.partition("=")
        if not mark and re.match(r"\w+[#@]", line):
            continue
        group = _SEPARATORS.split((rest if mark else code).strip())
        _add(found, (word for word in group if len(word) > 1 or not units.stands_alone(word)))
    sure = {word for word, others in found.items() if others}
    return {word: tuple(each for each in others if each.lower() in sure) for word, others in found.items()}


def _add(found: dict[str, tuple[str, ...]], words: Iterable[str]) -> None:
    """A word of several groups has several meanings: it stays as it is, and replaces none."""
    group = [word for word in dict.fromkeys(words) if word]
    for word in group:
        others = tuple(other for other in group if other != word)
        found[word.lower()] = () if word.lower() in found else others


def _lines(path: Path) -> Iterator[str]:
    """The entries of a file of WordNet; the lines of its licence begin with spaces."""
    with path.open(encoding="utf-8") as file:
        yield from (line.rstrip("\n") for line in file if not line.startswith("  "))


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word
