"""Where the rows come from, how they are split and how they become batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from eagleray.spec.augment import AugmentSpec, BackTranslationSpec, SynonymsSpec
from eagleray.spec.balance import BalanceSpec, FewShotSpec
from eagleray.spec.base import Conflict, ConflictError, Spec, Text
from eagleray.spec.clean import CleanSpec

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


class RowsSpec(Spec):
    """Which rows there are."""

    train: Text | None = None
    """A file or glob (`.csv`, `.tsv`, `.jsonl`, `.parquet`, `.txt`, `.conll`; also `.gz`, `.bz2`, `.xz`), a dataset
    directory saved by `datasets`, `pkg://package/path` inside an installed package, or `hub://owner/name#split`.
    Needed, but for multi-task, each of whose tasks names its own."""
    validation: ValidationSpec = ValidationSpec(fraction=0.1)
    """The rows that choose the best checkpoint."""
    test: Text | None = None
    """A source of the same form as `train`, looked at once, when training has ended."""
    test_fraction: Fraction | None = None
    """Share of the training rows held back for the test, where there is no `test` source."""
    keep: dict[str, tuple[str, ...]] = Field(default={})
    """Keep only the rows whose column has one of these values: `{category: [fresh, rotten]}`."""

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        if self.test is not None and self.test_fraction is not None:
            message = "`test` and `test_fraction` exclude each other: keep the one you mean"
            raise ConflictError(Conflict("test_fraction", message))
        return self


class DataSpec(RowsSpec):
    """The data of a run."""

    language: Text | None = None
    """Column of the language of a row: evaluations then tell the metrics of each language too."""
    train_languages: tuple[Text, ...] = ()
    """Train and validate on rows of these languages alone, and test on all: what is learned for the others."""
    clean: CleanSpec = CleanSpec()
    """What is done to texts, and which rows are not learned from."""
    few_shot: FewShotSpec | None = None
    """Learn from a few rows of each label. Left out: from all."""
    balance: BalanceSpec | None = None
    """Learn from some rows more often than from others. Left out: from each once an epoch."""
    augment: AugmentSpec | None = None
    """Learn from changed copies of the training rows too. Left out: from the rows alone."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Tokens a sample may have; longer ones are cut, and the data report says how many."""
    batching: BatchingSpec = LengthGroupedSpec(type="length-grouped")
    """How samples become batches."""


class MemberDataSpec(RowsSpec):
    """The data of one task of several. What becomes a sample or a batch, `data` says for all of them."""

    train: Text
    """As `spec.data.train`."""


def of_member(member: MemberDataSpec, data: DataSpec) -> DataSpec:
    """Return the data of one task, as those of a document that has it alone; `data` is what holds for all."""
    given = {name: getattr(member, name) for name in type(member).model_fields}
    return DataSpec(**given, max_length=data.max_length, batching=data.batching)


def resources(data: DataSpec, key: str = "spec.data") -> dict[str, str]:
    """Return the sources that steps of `augment` name, by their place in the document; `key` is that of `data`."""
    steps = data.augment.steps if data.augment is not None else ()
    found: dict[str, str] = {}
    for number, step in enumerate(steps):
        place = f"{key}.augment.steps[{number}]"
        if isinstance(step, SynonymsSpec) and step.source is not None:
            found[f"{place}.source"] = step.source
        if isinstance(step, BackTranslationSpec):
            found |= {f"{place}.there": step.there, f"{place}.back": step.back}
    return found


def with_resources(data: DataSpec, sources: Mapping[str, str], key: str = "spec.data") -> DataSpec:
    """Return `data` with other sources at the places that `resources` tells."""
    if data.augment is None:
        return data
    steps = []
    for number, step in enumerate(data.augment.steps):
        prefix = f"{key}.augment.steps[{number}]."
        named = {place.removeprefix(prefix): source for place, source in sources.items() if place.startswith(prefix)}
        steps.append(step.model_copy(update=named))
    return data.model_copy(update={"augment": data.augment.model_copy(update={"steps": tuple(steps)})})
