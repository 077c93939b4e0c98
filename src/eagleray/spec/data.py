"""Where the rows come from, how they are split and how they become batches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec, Text

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class ValidationSpec(Spec):
    """The rows that choose the best checkpoint: a part of the training rows, or a file of their own."""

    fraction: Fraction | None = None
    """Share of the training rows, drawn with `train.seed`, stratified by label for classification."""
    file: Text | None = None
    """A source of its own, of the same form as `data.train`."""

    @model_validator(mode="after")
    def _exactly_one(self) -> ValidationSpec:
        if self.fraction is not None and self.file is not None:
            raise ConflictError(Conflict("file", "`fraction` and `file` exclude each other: keep the one you mean"))
        if self.fraction is None and self.file is None:
            raise ConflictError(Conflict("", "give `fraction` (as 0.1) or `file` (as data/validation.jsonl)"))
        return self


class LengthGroupedSpec(Spec):
    """Samples of like length together: sorted within shuffled windows, so that little is padding."""

    type: Literal["length-grouped"]
    """How samples become batches."""
    window_batches: Annotated[int, Field(ge=1)] = 50
    """How many global batches are sorted together. More means less padding and less randomness."""


class PlainBatchingSpec(Spec):
    """Samples in random order, padded to the longest of the micro batch."""

    type: Literal["plain"]
    """How samples become batches."""


class PackedSpec(Spec):
    """Several samples a row, attention kept apart and positions restarted (causal language models)."""

    type: Literal["packed"]
    """How samples become batches."""


BatchingSpec = Annotated[LengthGroupedSpec | PlainBatchingSpec | PackedSpec, Field(discriminator="type")]


class DataSpec(Spec):
    """The data of a run."""

    train: Text
    """A file or glob (`.csv`, `.tsv`, `.jsonl`, `.parquet`, `.conll`; also `.gz`, `.bz2`, `.xz`), a dataset directory
    saved by `datasets`, `pkg://package/path` inside an installed package, or `hub://owner/name#split`."""
    validation: ValidationSpec = ValidationSpec(fraction=0.1)
    """The rows that choose the best checkpoint."""
    test: Text | None = None
    """A source of the same form as `train`, looked at once, when training has ended."""
    test_fraction: Fraction | None = None
    """Share of the training rows held back for the test, where there is no `test` source."""
    keep: dict[str, tuple[str, ...]] = Field(default={})
    """Keep only the rows whose column has one of these values: `{category: [fresh, rotten]}`."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Tokens a sample may have; longer ones are cut, and the data report says how many."""
    batching: BatchingSpec = LengthGroupedSpec(type="length-grouped")
    """How samples become batches."""

    @model_validator(mode="after")
    def _one_test(self) -> DataSpec:
        if self.test is not None and self.test_fraction is not None:
            message = "`test` and `test_fraction` exclude each other: keep the one you mean"
            raise ConflictError(Conflict("test_fraction", message))
        return self
