"""What is written beside a trained model, so that it can be used without its run?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from eagleray.errors import ModelSourceError

FILE = "eagleray.json"


class BaseModelRecord(BaseModel):
    """The pretrained model that was trained from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    revision: str
    sha256: str  # of local weights; "" for a hub id
    allow_pickle: bool = False
    allow_remote_code: bool = False


class EnsembleRecord(BaseModel):
    """The models that answer together, each in a directory below this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: tuple[str, ...]
    weights: tuple[float, ...]
    combine: Literal["mean", "vote"]
    output: Literal["label", "labels", "value"]  # what their logits are of


class Description(BaseModel):
    """What a trained model is, what it expects and what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    task: dict[str, Any]  # the document's task
    labels: tuple[str, ...]
    max_length: int
    clean: dict[str, Any] = {}  # what the document's `data.clean` does to texts
    method: dict[str, Any]  # the document's method
    base: BaseModelRecord
    ensemble: EnsembleRecord | None = None  # None: the weights are beside this description


def write(directory: Path, description: Description) -> None:
    """Write a description into the model's directory."""
    (directory / FILE).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read(directory: Path) -> Description:
    """The description of a trained model. Raises ModelSourceError where it is missing or of another format."""
    file = directory / FILE
    try:
        return Description.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise ModelSourceError(f"{directory} is no model trained by eagleray: {FILE} is missing") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelSourceError(
            f"{file}: {place}: {first['msg']}: it was written by another version of eagleray, or changed"
        ) from None
