"""Texts of documents: the shortest that is valid, with parts of it replaced."""

from __future__ import annotations

SECTIONS = {
    "model": "{source: owner/encoder}",
    "task": "{type: text-classification}",
    "data": "{train: data/train.jsonl}",
}


def text(*, name: str = "films", **sections: str) -> str:
    """One line a section of `spec`, the first (model) in line 5; `task` is line 6, `data` line 7, new ones follow.

    An empty string leaves the section out.
    """
    merged = {**SECTIONS, **sections}
    header = ["apiVersion: eagleray.io/v1alpha1", "kind: FineTune", f"metadata: {{name: {name}}}", "spec:"]
    return "\n".join([*header, *(f"  {key}: {value}" for key, value in merged.items() if value)]) + "\n"
