"""One start of the workers under Ray Train, running in a thread so that the driver can look on and interfere."""

from __future__ import annotations

import tempfile
import threading
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError, RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from eagleray.train import places, worker
from eagleray.train.assembly import Job
from eagleray.train.cluster import WorkerShape
from eagleray.train.session import Outcome


@dataclass(frozen=True, slots=True)
class Lost:
    """The workers ended without an outcome."""

    error: TrainingFailedError | RayError


class Attempt:
    """The workers of one attempt."""

    def __init__(self, job: Job, *, num_workers: int, shape: WorkerShape) -> None:
        self.job, self.num_workers, self._shape = job, num_workers, shape
        self._end: Outcome | Lost | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="attempt", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> Outcome | Lost | None:
        """Return how it ended; None where it still goes on after `timeout_s`."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return None
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    def _run(self) -> None:
        try:
            self._end = _launch(self.job, self.num_workers, self._shape)
        except (TrainingFailedError, RayError) as error:
            self._end = Lost(error)
        except BaseException as error:
            self._end = error


def _launch(job: Job, num_workers: int, shape: WorkerShape) -> Outcome:
    """Run the workers and return the first rank's outcome.

    Ray Train sees no checkpoint of ours and resumes nothing by itself: every attempt has a name of its own, and its
    few bookkeeping files go to a scratch folder. Outside of the main thread it leaves the signals alone.
    """
    resources = {"CPU": shape.num_cpus} | ({"GPU": shape.num_gpus} if shape.num_gpus else {})
    with tempfile.TemporaryDirectory(prefix="eagleray-ray-") as scratch:
        place = places.Place(Path(scratch) / "place")
        trainer = _Trainer(
            worker.work,  # type: ignore[arg-type]  # may return a value, which the annotation leaves out
            train_loop_config={"job": asdict(job), "num_threads": shape.num_threads},
            torch_config=TorchConfig(backend="nccl" if shape.num_gpus else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=num_workers, use_gpu=shape.num_gpus > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name=f"{job.run}-{job.lease}-{uuid.uuid4().hex[:8]}",
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg]  # Train V2's
                callbacks=[place],  # type: ignore[list-item]  # Train V2's
            ),
        )
        try:
            result = trainer.fit()
        except RayActorError:  # Ray Train's controller has died
            place.give_back()
            raise
    return Outcome(**result.return_value)  # type: ignore[attr-defined]  # Train V2's


class _Trainer(TorchTrainer):
    """A TorchTrainer whose workers' place is given back by `places` and nobody else."""

    def _create_default_callbacks(self) -> list[Any]:
        return places.without_cleaner(super()._create_default_callbacks())  # type: ignore[misc]  # Train V2's
