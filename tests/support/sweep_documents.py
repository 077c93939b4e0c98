"""Sections `sweep` of documents, and documents with one."""

from __future__ import annotations

from collections.abc import Mapping

from eagleray.spec import document
from eagleray.spec.dimension import DimensionSpec
from eagleray.spec.finetune import FineTune
from eagleray.spec.sweep import SweepSpec
from tests.support import documents

RATE = "train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}"
METHOD = "method.type: {choice: [full, lora]}, method.rank: {choice: [4, 8, 16], when: {method.type: lora}}"


def section(space: str = RATE, **more: str) -> str:
    """The text of a section `sweep` on one line; four trials where `budget` is not given. "" leaves a key out."""
    merged = {"budget": "{trials: 4}", **more}
    rest = "".join(f", {key}: {value}" for key, value in merged.items() if value)
    return f"{{space: {{{space}}}{rest}}}"


def loaded(space: str = RATE, *, sections: Mapping[str, str] | None = None, **more: str) -> FineTune:
    """A document with such a section."""
    text = documents.text(**(sections or {}), sweep=section(space, **more))
    return document.loads(text, source="a.yaml").document


def spec(space: str = RATE, **more: str) -> SweepSpec:
    """Such a section, validated."""
    found = loaded(space, **more).spec.sweep
    assert found is not None
    return found


def space_of(space: str, *, search: str = "{type: random}") -> dict[str, DimensionSpec]:
    """A space, validated."""
    return dict(spec(space, search=search).space)
