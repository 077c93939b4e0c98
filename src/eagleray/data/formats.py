"""Which rows does one file hold? CSV, TSV, JSON Lines, lines of text, CoNLL, SQuAD's JSON, also compressed; Parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from eagleray.errors import DataError

FIELD_LIMIT_BYTES = 16 * 2**20
"""A CSV field longer than this is taken for a quote that was never closed, before it swallows the whole file."""

BATCH_ROWS = 1_000

_CONLL_DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as the file has it, and where that is: "reviews.jsonl:17" (lines count from 1; Parquet counts rows)."""

    raw: dict[str, Any]
    place: str
    folder: Path | None = None  # of the file

    def located(self, columns: Iterable[str]) -> dict[str, Any]:
        """The row, with the relative paths in these columns read against the file's folder."""
        if self.folder is None:
            return self.raw
        paths = {column: self.raw[column] for column in columns if isinstance(self.raw.get(column), str)}
        return self.raw | {
            column: value if value.startswith("data:") or not value else str(self.folder / value)
            for column, value in paths.items()
        }


def read_file(path: Path, *, name: str) -> Iterator[SourceRow]:
    """Yield the rows of one file; `name` is what messages call it.

    Raises:
        DataError: the format is unknown, or the file is damaged; names file and line.
    """
    read = READERS[file_format(path)]
    try:
        yield from read(path, name)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file: {path}") from None
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowInvalid) as error:
        raise DataError(f"{name}: cannot be read, the file may be damaged or cut short: {error}") from error


def file_format(path: Path) -> str:
    """Return the suffix that names a file's format, without the compression: ".csv" for reviews.csv.bz2.

    Raises:
        DataError: there is no reader for it.
    """
    compression, stem = path.suffix.lower(), Path(path.stem)
    suffix = stem.suffix.lower() if compression in OPENERS else compression
    if suffix not in READERS or (suffix == ".parquet" and compression in OPENERS):
        raise DataError(
            f"{path.name}: unknown file format: rows are read from .csv, .tsv, .jsonl, .conll, .txt and .json "
            "(each also with .gz, .bz2 or .xz behind) and .parquet"
        )
    return suffix


def is_data_file_name(name: str) -> bool:
    """Whether a name ends as the files do that are read here."""
    suffixes = {suffix.lower() for suffix in Path(name).suffixes}
    return not suffixes.isdisjoint(READERS.keys() | OPENERS.keys())


def _csv(path: Path, name: str) -> Iterator[SourceRow]:
    return _delimited(path, name, delimiter=",")


def _tsv(path: Path, name: str) -> Iterator[SourceRow]:
    return _delimited(path, name, delimiter="\t")


def _delimited(path: Path, name: str, *, delimiter: str) -> Iterator[SourceRow]:
    csv.field_size_limit(FIELD_LIMIT_BYTES)  # one setting for the process; the default of 128 KiB refuses real texts
    with _open(path) as stream:
        reader = csv.reader(_decoded(stream, name), delimiter=delimiter, strict=True)
        records = _records(reader, name)
        _, header = next(records, (0, []))
        _check_header(header, name)
        for line, fields in records:
            if len(fields) != len(header):
                raise DataError(
                    f"{name}:{line}: {len(fields)} fields, but the header has {len(header)} ({', '.join(header)}): "
                    'put a field that holds the delimiter or a line break in double quotes ("…")'
                )
            yield SourceRow(dict(zip(header, fields, strict=True)), f"{name}:{line}")


def _records(reader: Any, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line the record starts on, fields), without blank lines."""
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{name}:{line}: malformed record: {error}: look for a double quote that is not closed, "
                'or not doubled ("") inside a quoted field'
            ) from None
        if fields:
            yield line, fields


def _check_header(header: list[str], name: str) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}:1: the header names {', '.join(map(repr, twice))} more than once: rename one of them")


def _jsonl(path: Path, name: str) -> Iterator[SourceRow]:
    with _open(path) as stream:
        yield from json_lines(stream, name)


def json_lines(stream: Iterable[bytes], name: str) -> Iterator[SourceRow]:
    """The rows of a stream of JSON lines, each placed by `name` and its number. Blank lines are passed over."""
    for number, line in enumerate(_decoded(stream, name), start=1):
        if text := line.strip():
            yield SourceRow(_parsed(text, f"{name}:{number}"), f"{name}:{number}")


def _parsed(text: str, place: str) -> dict[str, Any]:
    if text.startswith("["):
        raise DataError(f"{place}: a JSON array, but JSON Lines has one object a line: jq -c '.[]' writes them")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        excerpt = text if len(text) < 60 else text[:57] + "…"
        raise DataError(
            f"{place}: not valid JSON: {error.msg} at column {error.colno}: {excerpt!r}: "
            "every line must hold one whole object"
        ) from None
    if not isinstance(value, dict):
        raise DataError(f'{place}: {text[:40]} is no JSON object: every line must look like {{"text": …}}')
    return value


def _lines(path: Path, name: str) -> Iterator[SourceRow]:
    """A row a line that is not blank: its `text`, and the `file` without its suffixes, which may be its label."""
    file = Path(name).name.partition(".")[0]
    with _open(path) as stream:
        for number, line in enumerate(_decoded(stream, name), start=1):
            if line.strip():
                yield SourceRow({"text": line.rstrip("\r\n"), "file": file}, f"{name}:{number}")


def _text(path: Path, name: str) -> Iterator[SourceRow]:
    """Lines of text, or CoNLL: there the first line that is not blank has a tab."""
    with _open(path) as stream:
        first = next((line for line in _decoded(stream, name) if line.strip()), "")
    return _conll(path, name) if "\t" in first.strip() else _lines(path, name)


def _conll(path: Path, name: str) -> Iterator[SourceRow]:
    """Sentences of words and tags: a line a word, its tag in the last column, a blank line between sentences."""
    words: list[str] = []
    tags: list[str] = []
    first = 0
    with _open(path) as stream:
        for number, line in enumerate(chain(_decoded(stream, name), [""]), start=1):
            if not line.strip() or line.startswith(_CONLL_DOCUMENT):
                if words:
                    yield SourceRow({"words": words, "tags": tags}, f"{name}:{first}")
                words, tags = [], []
                continue
            columns = line.split("\t") if "\t" in line else line.split()
            if len(columns) < 2 or not columns[0].strip() or not columns[-1].strip():
                raise DataError(
                    f"{name}:{number}: {line.strip()!r} is no word with a tag: a line has a word, a tab and its tag, "
                    "or is blank between two sentences (CoNLL); texts are read from .jsonl and .csv"
                )
            first = first if words else number
            words.append(columns[0].strip())
            tags.append(columns[-1].strip())


def _squad(path: Path, name: str) -> Iterator[SourceRow]:
    """Questions as SQuAD nests them: articles of paragraphs, each a context and its questions."""
    with _open(path) as stream:
        try:
            value = json.loads("".join(_decoded(stream, name)))
        except json.JSONDecodeError as error:
            raise DataError(f"{name}:{error.lineno}: not valid JSON: {error.msg} at column {error.colno}") from None
    try:
        paragraphs = [paragraph for article in value["data"] for paragraph in article["paragraphs"]]
        questions = [(paragraph["context"], each) for paragraph in paragraphs for each in paragraph["qas"]]
        for number, (context, each) in enumerate(questions, start=1):
            row = {"id": each.get("id"), "question": each["question"], "context": context, "answers": each["answers"]}
            yield SourceRow(row, f"{name}:question {each.get('id', number)}")
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"{name}: JSON Lines wanted, one object a line, in a file named .jsonl: jq -c '.[]' {path.name} > "
            f"{path.stem}.jsonl turns an array of objects into it; of .json only what SQuAD nests is read (data, "
            "paragraphs, qas)"
        ) from None


def _parquet(path: Path, name: str) -> Iterator[SourceRow]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for raw in batch.to_pylist():
                number += 1
                yield SourceRow(raw, f"{name}:{number}")


def _open(path: Path) -> Any:
    return OPENERS.get(path.suffix.lower(), Path.open)(path, "rb")


def _decoded(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield lines as text, the byte order mark left out."""
    for number, line in enumerate(stream, start=1):
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise DataError(f"{name}: UTF-16 text, but UTF-8 is read: iconv -f utf-16 -t utf-8 converts it")
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}:{number}: byte {line[error.start]:#04x} at position {error.start + 1} is no UTF-8: "
                "convert the file, for example with iconv -f latin1 -t utf-8"
            ) from None


READERS: dict[str, Callable[[Path, str], Iterator[SourceRow]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".conll": _conll,
    ".txt": _text,
    ".json": _squad,
    ".parquet": _parquet,
}

OPENERS: dict[str, Callable[[Path, str], BinaryIO]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}  # type: ignore[dict-item]
