"""What is trained before a document's own training, so that it has something better to begin with."""

from __future__ import annotations

from eagleray.spec.base import Name, Spec
from eagleray.spec.data import DataSpec
from eagleray.spec.method import FullSpec, MethodSpec
from eagleray.spec.task import OneTaskSpec
from eagleray.spec.train import TrainSpec


class StageSpec(Spec):
    """A run of its own: its model is what the next one begins with."""

    name: Name
    """Its run is called `<name of the document>-<this>-0001`."""
    task: OneTaskSpec
    """What is learned, as masked-lm before a classification."""
    data: DataSpec
    """The rows to learn from."""
    method: MethodSpec = FullSpec(type="full")
    """Which weights learn. The next stage begins with all of them, so none that trains an adapter."""
    train: TrainSpec = TrainSpec()
    """The training loop. Nothing of the document's own `train` holds here."""
