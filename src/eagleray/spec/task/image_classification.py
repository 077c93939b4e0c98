"""What a document says of image-classification."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec import reported
from eagleray.spec.base import Spec, Text
from eagleray.spec.task.base import Answer, Input, TaskBase
from eagleray.spec.task.content import RowContent


class ImageAugmentSpec(Spec):
    """What is done to an image while it is trained on, anew in each epoch."""

    crop: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Smallest share of the image's area that is cut out and enlarged; 1 leaves it whole."""
    flip: bool = False
    """Turn left and right with a chance of a half. Not for what has a direction, as letters and digits."""


class ImageClassificationSpec(TaskBase):
    """One label, or several, for an image."""

    type: Literal["image-classification"]
    """What is learned."""
    problem: Literal["single-label", "multi-label"] = "single-label"
    """What the label column holds: one label or several."""
    image: Text = "image"
    """Column of the image: a path relative to its table, or `data:image/png;base64,…`. Where `data.train` is a
    directory of folders, each folder is a class, and the columns are called `image` and `label`."""
    label: Text = "label"
    """Column of the label: a string or integer, or a list (or a string with `label_separator`)."""
    labels: tuple[Text, ...] = ()
    """The label set in its order. Left out, it is what the training split holds, sorted."""
    label_separator: Text = ","
    """Between labels where a multi-label column is a string, as in CSV."""
    augment: ImageAugmentSpec = ImageAugmentSpec()
    """What is done to the images that are trained on."""
    max_broken: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of a source's images that may be missing or damaged: they are named and left out. More are an error."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.SINGLE_LABEL if self.problem == "single-label" else reported.MULTI_LABEL

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.image: "image"}

    @property
    def answer(self) -> Answer:
        return "label" if self.problem == "single-label" else "labels"

    @property
    def content(self) -> RowContent:
        images = "its rows are images"
        return RowContent(fixed=images, why_no_copies=images, has_classes=True, files=(self.image,))
