"""The actor in which Ray Tune runs trials, one after another: it tells each evaluation and hands over checkpoints."""

from __future__ import annotations

import gc
from typing import Any

import pyarrow.fs
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint, Trainable

from eagleray.train import garbage
from eagleray.tune.alone import Alone
from eagleray.tune.life import Life, Shared


class TrialActor(Trainable):
    """Runs one trial at a time. What Tune knows as a checkpoint is no more than the name of one of ours."""

    def setup(self, config: dict[str, Any], shared: Shared) -> None:  # type: ignore[override]  # by with_parameters
        """Be told by Tune of the first trial."""
        garbage.collect_as_usual()
        self._shared, self._alone = shared, Alone()
        self._before: Life | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial. That before is ended with the first step: what fails here, Tune tries no second time."""
        self._before = self._life
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next evaluation; returns what the driver's `Board` makes events of."""
        self._end_before()
        return self._life.step()

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        """Name the checkpoint of the last evaluation, once it is on the storage."""
        run, step = self._life.saved()
        name = f"{self._life.number}/{run}/{step}"
        # The file system is a formality: without one Tune takes the name for a URI.
        return _TrainingResult(Checkpoint(name, filesystem=pyarrow.fs.LocalFileSystem()), metrics=self._life.told)

    def restore(self, checkpoint_path: Any) -> None:
        """Go on from a checkpoint: of another trial where population based training says so."""
        self._iteration = checkpoint_path.metrics.get("training_iteration", 0)
        number, run, step = checkpoint_path.checkpoint.path.split("/")
        if int(number) != self._life.number:
            self._life.fork(int(number), run=run, step=int(step))

    def cleanup(self) -> None:
        """End the trial: what its workers had is free then."""
        self._end_before()
        self._life.end()
        self._alone.close()

    def _end_before(self) -> None:
        if self._before is not None:
            self._before.end()
            self._before = None
            gc.collect()  # a model and its engine refer to each other

    def _begin(self, config: dict[str, Any]) -> None:
        self._life = Life(self._shared, self._alone, number=config["trial"], params=config["params"])
