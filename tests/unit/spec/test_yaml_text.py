"""YAML becomes the values its writer meant, or an error with its line."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import yaml

from eagleray.errors import DocumentError
from eagleray.spec import yaml_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("true", True, id="true"),
        pytest.param("False", False, id="False"),
        pytest.param("no", "no", id="no-is-a-text"),
        pytest.param("on", "on", id="on-is-a-text"),
        pytest.param("y", "y", id="y-is-a-text"),
        pytest.param("1e-5", 1e-5, id="exponent-without-dot"),
        pytest.param("1E+3", 1000.0, id="capital-exponent"),
        pytest.param(".5", 0.5, id="leading-dot"),
        pytest.param("5.", 5.0, id="trailing-dot"),
        pytest.param("-3", -3, id="negative"),
        pytest.param("0x1F", 31, id="hexadecimal"),
        pytest.param("0o17", 15, id="octal"),
        pytest.param("010", 10, id="leading-zero-is-decimal"),
        pytest.param("1:30", "1:30", id="no-sexagesimal"),
        pytest.param("1_000", "1_000", id="no-underscores"),
        pytest.param("2024-01-01", "2024-01-01", id="no-dates"),
        pytest.param("-", [None], id="dash-is-a-list"),
        pytest.param("1e5x", "1e5x", id="number-with-a-tail"),
        pytest.param("-.inf", -math.inf, id="infinity"),
        pytest.param("~", None, id="tilde"),
        pytest.param("null", None, id="null"),
        pytest.param("'1e-5'", "1e-5", id="quoted-number"),
        pytest.param("!!str 1", "1", id="tagged-text"),
        pytest.param("", None, id="empty"),
        pytest.param("# only a comment", None, id="comment"),
        pytest.param("[a, 1, [b]]", ["a", 1, ["b"]], id="list"),
        pytest.param("{on: 1, 2: b, ~: c}", {"on": 1, "2": "b", "~": "c"}, id="keys-are-texts"),
        pytest.param("<<: {a: 1}", {"<<": {"a": 1}}, id="no-merge-key"),
    ],
)
def test_values(text: str, value: Any) -> None:
    parsed = yaml_text.parse(text, source="a.yaml")

    assert (parsed.value, parsed.findings) == (value, [])
    assert type(parsed.value) is type(value)


def test_lines() -> None:
    text = "a: 1\nb:\n  c: [x,\n    y]\n  d:\n    - z\n"

    assert yaml_text.parse(text, source="a.yaml").lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 3,
        ("b", "c", 1): 4,
        ("b", "d"): 5,
        ("b", "d", 0): 6,
    }


NO_ANCHORS = "anchors and aliases are not allowed: write the value out, or quote a text that starts with * or &"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("a: 1\nb: &x 2\n", f"2: {NO_ANCHORS}", id="anchor"),
        pytest.param("a: 1\nb: *x\n", f"2: {NO_ANCHORS}", id="alias"),
        pytest.param("a: *.csv\n", f"1: {NO_ANCHORS}", id="unquoted-glob"),
        pytest.param("a: 1\n---\nb: 2\n", "2: several documents in one file (---): keep one a file", id="two"),
        pytest.param("a: 1\nb:\n\t- c\n", "3: a tab: YAML is indented with spaces", id="tab"),
        pytest.param(
            "a: b: c\n",
            "1: a second `: ` in one line, or a wrong indentation: quote a text that holds `: `",
            id="two-colons",
        ),
        pytest.param(
            "a: @b\n",
            "1: found character '@' that cannot start any token: quote a text that starts with a special character",
            id="special-character",
        ),
        pytest.param(
            "a: 1\nb: [1,\nc: 2\n",
            "4: not YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence that begins in line 2)",
            id="open-bracket",
        ),
        pytest.param("a: 1\nb: \x01\n", "2: the character '\\x01' is not allowed in YAML: remove it", id="control"),
        pytest.param("a:\n" + "[" * 50, "2: nested more than 32 levels deep", id="deep"),
        pytest.param("a:\n" + "  - &x [a]\n" + "  - [*x, *x]\n" * 9, f"2: {NO_ANCHORS}", id="billion-laughs"),
        pytest.param("[" + "a," * 124_000 + "]", "1: more than 20000 values: this is no document", id="many"),
        pytest.param("[" * 250_000, "1: nested more than 32 levels deep", id="very-deep"),
        pytest.param("a" * 250_001, " more than 250000 characters: this is no document", id="long"),
    ],
)
def test_refused_texts(text: str, finding: str) -> None:
    with pytest.raises(DocumentError) as raised:
        yaml_text.parse(text, source="a.yaml")

    assert str(raised.value) == f"a.yaml:{finding}"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("a: 1\na: 2\n", "2: a: the key is given twice, first in line 1: keep one of them", id="twice"),
        pytest.param(
            "a: !!python/object:os.system x", "1: a: the tag !!python/object:os.system is not allowed", id="tag"
        ),
        pytest.param("a: !x [1]", "1: a: the tag !x is not allowed: leave it out", id="tagged-list"),
        pytest.param("a: !!set {b}", "1: a: the tag !!set is not allowed: leave it out", id="set"),
        pytest.param("a: !!int b", "1: a: the value does not fit its tag !!int: leave the tag out", id="wrong-tag"),
        pytest.param('a: "\\ud800"', "1: a: the text holds half of a surrogate pair", id="surrogate"),
        pytest.param("a: " + "9" * 5000, "1: a: a whole number of more than 19 digits", id="long-number"),
        pytest.param("? [a]\n: b", "1: a key must be a text, not a list or a mapping", id="list-as-key"),
    ],
)
def test_findings_that_do_not_stop_the_reading(text: str, finding: str) -> None:
    findings = yaml_text.parse(f"{text}\n", source="a.yaml").findings

    assert [str(found) for found in findings] == [str(findings[0])]
    assert re.match(re.escape(f"a.yaml:{finding}"), str(findings[0]))


@pytest.mark.parametrize(
    "value", ["no", "1e5", "1e-5", "1:30", "1_000", "2024-01-01", "*", "null", "", "a: b", "é", "0o7"]
)
def test_dumped_texts_are_the_same_for_us_and_for_readers_of_yaml_1_1(value: str) -> None:
    text = yaml.dump({"a": value}, Dumper=yaml_text.Dumper, allow_unicode=True)

    assert yaml_text.parse(text, source="a.yaml").value == {"a": value}
    assert yaml.safe_load(text) == {"a": value}
