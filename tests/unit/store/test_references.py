"""What names a version of a registered model, and what does not."""

from __future__ import annotations

import pytest

from eagleray.errors import UserError
from eagleray.store import references
from eagleray.store.references import Reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("demo", Reference("demo")),
        ("demo@3", Reference("demo", version=3)),
        ("demo@champion", Reference("demo", alias="champion")),
        ("7@7", Reference("7", version=7)),
        ("a-1@b-2", Reference("a-1", alias="b-2")),
        ("a" * 40 + "@" + "b" * 40, Reference("a" * 40, alias="b" * 40)),
        ("demo@999999999", Reference("demo", version=999_999_999)),
    ],
)
def test_a_reference_is_read_and_written(text: str, expected: Reference) -> None:
    assert references.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "demo@", "@3", "Demo", "demo@Champion", "demo@3@4", "de/mo", "../x", "demo@../x", "demo\n", " demo"),
        *("demo@0", "demo@-1", "demo@03", "demo@1.5", "demo@1234567890", "demo@²", "a" * 41, "demo@" + "a" * 41),
    ],
    ids=repr,
)
def test_no_reference(text: str) -> None:
    with pytest.raises(UserError, match=r"names no registered model: give NAME .* NAME@3 .* NAME@champion"):
        references.parse(text)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        pytest.param([], "there is no alias 'champio' here, nor any other: make it", id="nothing"),
        pytest.param(["blue"], "there is no alias 'champio' here: There is: blue", id="nothing-close"),
        pytest.param(
            ["blue", "champion"],
            "there is no alias 'champio' here: did you mean champion? There is: blue, champion",
            id="something-close",
        ),
    ],
)
def test_what_is_unknown_is_told_with_what_there_is(known: list[str], told: str) -> None:
    assert str(references.unknown("alias", "champio", known=known, where="here", or_else="make it")) == told
