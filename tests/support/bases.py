"""What a run is made from, of a small document about films."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eagleray.spec import document as documents_of
from eagleray.spec.finetune import FineTune
from eagleray.train.changes import Basis
from tests.support import documents

LABELS = ("fresh", "rotten")


def document(*overrides: str, **sections: str) -> FineTune:
    """The document with these values."""
    return documents_of.loads(documents.text(**sections), source="a.yaml", overrides=overrides).document


def basis(*overrides: str, **facts: Any) -> Basis:
    """The basis of it, with other `facts` where they are given."""
    made = Basis(document(*overrides), data_fingerprint="f" * 64, model_sha256="a" * 64, labels=LABELS)
    return replace(made, **facts)
