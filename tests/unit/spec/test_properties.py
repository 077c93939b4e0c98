"""Any document and any `--set`: written out it loads back equal, and nothing but a finding comes of junk."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eagleray.errors import DocumentError, UserError
from eagleray.spec import document, yaml_text
from tests.support import documents

SHIPPED = sorted((Path(__file__).parents[3] / "jobs").rglob("*.yaml"))
FEW = settings(max_examples=40, deadline=None)

numbers = st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=False))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@cache
def shipped(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _written(value: Any) -> str:
    return yaml.dump(value, Dumper=yaml_text.Dumper, default_flow_style=True, allow_unicode=True, width=float("inf"))


@given(values)
@example({"a\x85b": ["\u2028", "\u2029\n", " \x85"]})
@FEW
def test_what_is_written_is_read(value: Any) -> None:
    parsed = yaml_text.parse(_written(value), source="a.yaml")

    assert (parsed.value, parsed.findings) == (value, [])


@given(
    st.sampled_from(SHIPPED),
    st.fixed_dictionaries(
        {},
        optional={
            "train.epochs": st.integers(1, 1000),
            "train.learning_rate": st.floats(1e-12, 1.0),
            "train.seed": st.integers(0, 2**31 - 1),
            "train.weight_decay": st.floats(0.0, 1.0),
            "data.max_length": st.integers(1, 4096),
            "data.train": texts.filter(bool),
            "model.source": texts.filter(bool),
            "scale.num_workers": st.integers(1, 64),
            "checkpoint.keep": st.integers(1, 9),
        },
    ),
)
@FEW
def test_a_document_written_out_loads_back_equal(path: Path, changes: dict[str, Any]) -> None:
    overrides = [f"{key}={_written(value)}" for key, value in changes.items()]
    try:
        loaded = document.loads(shipped(path), source=path.name, overrides=overrides).document
    except DocumentError as refused:
        assert refused.findings
        return
    again = document.loads(document.dump(loaded), source="again").document

    assert again == loaded
    assert document.dump(again) == document.dump(loaded)


@given(st.floats(1e-300, 1.0), st.integers(1, 10**6))
@FEW
def test_what_is_set_is_what_the_document_has(rate: float, epochs: int) -> None:
    given = [f"train.learning_rate={rate!r}", f"spec.train.epochs = {epochs}"]

    train = document.loads(documents.text(), source="a.yaml", overrides=given).document.spec.train

    assert (train.learning_rate, train.epochs) == (rate, epochs)


@given(st.one_of(st.text(max_size=30), st.builds("train.{}={}".format, st.text(max_size=8), st.text(max_size=12))))
@FEW
def test_junk_is_a_finding_about_set(override: str) -> None:
    try:
        document.loads(documents.text(), source="a.yaml", overrides=[override])
    except DocumentError as refused:
        assert {finding.source for finding in refused.findings} == {"--set"}


@given(st.data())
@FEW
def test_a_damaged_document_is_refused_or_another_one(data: st.DataObject) -> None:
    """Any part cut out, doubled or replaced: a finding with a place, never an exception of the parser."""
    text = shipped(data.draw(st.sampled_from(SHIPPED)))
    start, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
    damaged = text[:start] + data.draw(st.text("[]{}:-&*!|>'\"#%@\n\t ax0", max_size=6)) + text[end:]
    try:
        document.loads(damaged, source="a.yaml")
    except UserError as refused:
        assert str(refused)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_documents_load_back_equal(path: Path) -> None:
    loaded = document.loads(shipped(path), source=path.name).document

    assert document.loads(document.dump(loaded), source="again").document == loaded
