"""METEOR with Debian's WordNet is nltk's METEOR with nltk's reader of the same files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nltk.data
import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.meteor_score import single_meteor_score

from eagleray.errors import UserError
from eagleray.metrics import wordnet
from eagleray.metrics.texts import TextMetrics
from eagleray.metrics.wordnet import WordNet

FOLDER = Path("/usr/share/wordnet")
installed = pytest.mark.skipif(not (FOLDER / "index.noun").exists(), reason="Debian's wordnet-base is not installed")

PAIRS = [
    ("the automobile was very quick", "the car was really fast"),
    ("children ran home", "the child runs home"),
    ("the physician cured the sick", "the doctor healed the ill"),
    ("a large dog barked at the mailman", "a big dog was barking at the postman"),
    ("French films begin slowly", "Gallic movies start slowly"),
    ("geese fly better than mice", "a goose flies well, a mouse does not"),
    ("nothing in common", "Das Haus ist rot."),
    ("he purchased 3 books!", "he bought three books."),
    ("", "an empty answer"),
]
WORDS = [
    "car",
    "run",
    "better",
    "geese",
    "axes",
    "ran",
    "French",
    "u.s.",
    "'s",
    "best",
    "saw",
    "leaves",
    "lying",
    "nothingatall",
    "zygote",
    "a",
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WordNetCorpusReader]:
    """nltk's reader, given the two files that Debian leaves out; METEOR uses the content of neither."""

    class Reader(WordNetCorpusReader):  # type: ignore[misc]  # nltk has no types
        def map_wn(self, version: str = "wordnet") -> None:
            """Do not look for another WordNet to compare with."""

    folder = tmp_path_factory.mktemp("wordnet")
    for file in [*wordnet.files(FOLDER), FOLDER / "cntlist.rev"]:
        shutil.copyfile(file, folder / file.name)
    (folder / "index.sense").write_text("")
    (folder / "lexnames").write_text("".join(f"{number:02}\tname.{number}\t1\n" for number in range(45)))
    nltk.data.path.append(str(folder))  # it reads nothing elsewhere
    with pytest.warns(UserWarning, match="multilingual"):
        reader = Reader(str(folder), None)
    yield reader
    nltk.data.path.remove(str(folder))


@installed
def test_meanings_are_those_that_nltk_finds(reference: WordNetCorpusReader) -> None:
    ours = WordNet(FOLDER)
    for word in WORDS:
        found = [[lemma.name() for lemma in synset.lemmas()] for synset in ours.synsets(word)]
        assert found == [[lemma.name() for lemma in synset.lemmas()] for synset in reference.synsets(word)], word


@installed
def test_meteor_is_nltks(reference: WordNetCorpusReader) -> None:
    with_synonyms = TextMetrics(("meteor",), wordnet=WordNet(FOLDER))
    with_synonyms.update(*zip(*PAIRS, strict=True))
    plain = TextMetrics(("meteor",))
    plain.update(*zip(*PAIRS, strict=True))
    expected = [
        single_meteor_score(wordpunct_tokenize(wanted), wordpunct_tokenize(said), wordnet=reference)
        for said, wanted in PAIRS
    ]

    assert with_synonyms.compute()["meteor"] == pytest.approx(sum(expected) / len(expected), abs=1e-6)
    assert with_synonyms.compute()["meteor"] > plain.compute()["meteor"] + 0.1


def test_another_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not WordNet's files: .*index.noun.*wordnet-base"):
        WordNet(tmp_path)
