"""Where are runs and versions told of, beside the storage?"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec, Text

_FORMS = ("http://", "https://", "sqlite:", "file:", "databricks")


class TrackingSpec(Spec):
    """An MLflow tracking server. The storage stays what counts: MLflow may be away, and is told what it missed."""

    type: Literal["mlflow"]
    """What is told."""
    uri: Text
    """Its address, such as `http://mlflow:5000`. Credentials are those of MLflow's own environment variables."""
    experiment: Text | None = None
    """The experiment; left out, the name of the document."""

    @model_validator(mode="after")
    def _uri_is_one(self) -> TrackingSpec:
        if not self.uri.startswith(_FORMS):
            raise ConflictError(Conflict("uri", f"`{self.uri}` must begin with one of {', '.join(_FORMS)}"))
        if "@" in self.uri.partition("://")[2].partition("/")[0]:
            raise ConflictError(
                Conflict("uri", "a document holds no passwords: set MLFLOW_TRACKING_USERNAME and _PASSWORD instead")
            )
        return self
