"""Files of rows: what is read, and which line is named when it cannot be."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eagleray.data.formats import SourceRow, read_file
from eagleray.errors import DataError

TWO_ROWS = [{"text": "good", "label": "1"}, {"text": "坏, 😀", "label": "0"}]
CSV = 'text,label\ngood,1\n"坏, 😀",0\n'
TSV = "text\tlabel\ngood\t1\n坏, 😀\t0\n"
JSONL = '{"text": "good", "label": "1"}\n{"text": "坏, 😀", "label": "0"}\n'


def rows_of(path: Path) -> list[SourceRow]:
    return list(read_file(path, name=path.name))


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
@pytest.mark.parametrize(("name", "text"), [("a.csv", CSV), ("a.tsv", TSV), ("a.jsonl", JSONL)])
def test_text_formats_give_the_same_rows(tmp_path: Path, name: str, text: str, mark: str, newline: str) -> None:
    (tmp_path / name).write_bytes((mark + text.replace("\n", newline)).encode())
    assert [row.raw for row in rows_of(tmp_path / name)] == TWO_ROWS


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
@pytest.mark.parametrize(("name", "text"), [("a.csv", CSV), ("a.tsv", TSV), ("A.JSONL", JSONL)])
def test_compressed_files_are_read_by_their_suffix(
    tmp_path: Path, name: str, text: str, suffix: str, compress: object
) -> None:
    (tmp_path / f"{name}{suffix}").write_bytes(compress(text.encode()))  # type: ignore[operator]
    assert [row.raw for row in rows_of(tmp_path / f"{name}{suffix}")] == TWO_ROWS


def test_parquet_keeps_its_types_and_numbers_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None], "label": [1, 2], "tags": [["x"], []]}), tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet") == [
        SourceRow({"text": "a", "label": 1, "tags": ["x"]}, "a.parquet:1"),
        SourceRow({"text": None, "label": 2, "tags": []}, "a.parquet:2"),
    ]


def test_conll_has_a_word_and_its_tag_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-DOCSTART-\tO\n\nthe\tO\nNile\tB-river\n\t\nin NN I-NP B-x\n")
    assert rows_of(tmp_path / "a.txt") == [
        SourceRow({"words": ["the", "Nile"], "tags": ["O", "B-river"]}, "a.txt:3"),
        SourceRow({"words": ["in"], "tags": ["B-x"]}, "a.txt:6"),
    ]


def test_squad_is_unfolded(tmp_path: Path) -> None:
    answers = [{"text": "Nile", "answer_start": 4}]
    qas = [{"id": "q1", "question": "which?", "answers": answers}, {"id": "q2", "question": "why?", "answers": []}]
    nested = {"version": "2", "data": [{"title": "t", "paragraphs": [{"context": "the Nile", "qas": qas}]}]}
    (tmp_path / "a.json").write_text(json.dumps(nested, indent=1))
    assert [(row.place, row.raw["context"], row.raw["answers"]) for row in rows_of(tmp_path / "a.json")] == [
        ("a.json:question q1", "the Nile", answers),
        ("a.json:question q2", "the Nile", []),
    ]


def test_places_are_the_lines_that_rows_begin_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"two\nlines",1\n\nnext,0\n')
    (tmp_path / "a.jsonl").write_text('\n{"text": "a"}\n\n  \n{"text": "b\\u2028c"}')
    assert [row.place for row in rows_of(tmp_path / "a.csv")] == ["a.csv:2", "a.csv:5"]
    assert [row.place for row in rows_of(tmp_path / "a.jsonl")] == ["a.jsonl:2", "a.jsonl:5"]


def test_numbers_in_csv_stay_strings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n007,1.50\n")
    assert rows_of(tmp_path / "a.csv")[0].raw == {"text": "007", "label": "1.50"}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n", "\ufeff"], ids=["empty", "blank", "bom"])
def test_nothing_in_a_file_is_no_row(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert rows_of(tmp_path / name) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 1\n', "a.jsonl:2: not valid JSON: Expecting ',' delimiter at column 8"),
        ("a.jsonl", b'{"a": 1}\n\n[{"a": 1}]\n', "a.jsonl:3: a JSON array"),
        ("a.jsonl", b'[\n{"a": 1}\n]\n', "a.jsonl:1: a JSON array"),
        ("a.jsonl", b'{\n "a": 1\n}\n', "a.jsonl:1: not valid JSON.*one whole object"),
        ("a.jsonl", b'"text"\n', 'a.jsonl:1: "text" is no JSON object'),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "a.jsonl:2: byte 0xe9 at position 8 is no UTF-8"),
        ("a.csv", b"text,label\na,1\nb,2,3\n", r"a.csv:3: 3 fields, but the header has 2 \(text, label\)"),
        ("a.csv", b'text,label\n"a\nb",1\nb\n', "a.csv:4: 1 fields, but the header has 2"),
        ("a.csv", b'text,label\na,1\n"b,2\nc,3\n', "a.csv:3: malformed record.*double quote"),
        ("a.csv", b'text,label\n"a"b,1\n', "a.csv:2: malformed record"),
        ("a.csv", b"text,label,text\n", "a.csv:1: the header names 'text' more than once"),
        ("a.csv", b"text,label\na,\xff\n", "a.csv:2: byte 0xff at position 3 is no UTF-8"),
        ("a.csv", "text,label\n".encode("utf-16"), "a.csv: UTF-16 text, but UTF-8 is read"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\na,1\n" * 99, mtime=0)[:-12],
            "a.csv.gz: cannot be read, the file may be damaged",
        ),
        ("a.csv.gz", b"text,label\n", "a.csv.gz: cannot be read.*Not a gzipped file"),
        ("a.csv.xz", b"text,label\n", "a.csv.xz: cannot be read"),
        ("a.parquet", b"text,label\n", "a.parquet: cannot be read"),
        ("a.json", b"[]", r"a.json: JSON Lines wanted.*jq -c '.\[\]' a.json > a.jsonl"),
        ("a.txt", b"a\tO\nhello\n", "a.txt:2: 'hello' is no word with a tag"),
        ("a.json", b'{"data": 1}', "a.json: JSON Lines wanted"),
        ("a.json", b"{", "a.json:1: not valid JSON"),
        ("a.doc", b"", "a.doc: unknown file format"),
        ("a.gz", b"", "a.gz: unknown file format"),
        ("a.parquet.gz", b"", "a.parquet.gz: unknown file format"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected):
        rows_of(tmp_path / name)


def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eagleray.data.formats.FIELD_LIMIT_BYTES", 1000)
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text('text,label\na,1\n"b,2\n' + "c,3\n" * 1000)
    with pytest.raises(DataError, match=r"a.csv:3: malformed record: field larger than field limit \(1000\)"):
        rows_of(tmp_path / "a.csv")
    csv.field_size_limit(limit)  # one for the process: other tests read tables too


def test_a_line_of_a_text_file_is_a_row_and_the_file_a_column(tmp_path: Path) -> None:
    path = tmp_path / "pos.txt.gz"
    path.write_bytes(gzip.compress("很好看👍\r\n\n  two \n".encode()))
    rows = list(read_file(path, name="reviews/pos.txt.gz"))
    assert [row.raw for row in rows] == [{"text": "很好看👍", "file": "pos"}, {"text": "  two ", "file": "pos"}]
    assert [row.place for row in rows] == ["reviews/pos.txt.gz:1", "reviews/pos.txt.gz:3"]
