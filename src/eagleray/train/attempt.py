"""One start of the workers under Ray Train, running in a thread so that the driver can look on and interfere."""

from __future__ import annotations

import asyncio
import logging.config
import threading
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import FailureConfig, LoggingConfig, Result, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup
from ray.train.v2._internal.logging import LoggingManager
from ray.util.placement_group import remove_placement_group

from eagleray import logs
from eagleray.store.scratch import scratch_directory
from eagleray.train import hangs, worker
from eagleray.train.assembly import Job
from eagleray.train.resources import WorkerShape
from eagleray.train.session import Outcome

ANSWER_WITHIN_S = "answer_within_s"
"""The part of the workers' configuration that is read here: see `hangs`."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The workers ended without an outcome."""

    error: TrainingFailedError | RayError


class Attempt:
    """The workers of one attempt."""

    def __init__(self, job: Job, *, num_workers: int, shape: WorkerShape) -> None:
        self.job, self.num_workers, self._shape = job, num_workers, shape
        self._end: Outcome | Lost | BaseException | None = None
        self._trainer: _Trainer | None = None
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

    def abandon(self) -> None:
        """End the workers where they are, if they still work; what they reserved is free when this returns."""
        while self._thread.is_alive() and not (self._trainer and self._trainer.give_back_place()):
            self._thread.join(0.05)  # they are just being started
        self._thread.join()

    def _run(self) -> None:
        try:
            self._end = self._launch()
        except (TrainingFailedError, RayError) as error:
            self._end = Lost(error)
        except BaseException as error:
            self._end = error

    def _launch(self) -> Outcome:
        """Run the workers and return the first rank's outcome.

        Ray Train sees no checkpoint of ours and resumes nothing by itself: every attempt has a name of its own, and its
        few bookkeeping files go to a scratch folder. Outside of the main thread it leaves the signals alone.
        """
        shape, job = self._shape, self.job
        resources = {"CPU": shape.num_cpus} | ({"GPU": shape.num_gpus} if shape.num_gpus else {})
        with scratch_directory("ray") as scratch:
            self._trainer = _Trainer(
                worker.work,  # type: ignore[arg-type]  # may return a value, which the annotation leaves out
                train_loop_config={
                    "job": asdict(job),
                    "num_threads": shape.num_threads,
                    "has_json_logs": logs.active() is not None,
                    ANSWER_WITHIN_S: hangs.answer_within_s(job),
                },
                torch_config=TorchConfig(backend="nccl" if shape.num_gpus else "gloo"),
                scaling_config=ScalingConfig(
                    num_workers=self.num_workers, use_gpu=shape.num_gpus > 0, resources_per_worker=resources
                ),
                run_config=RunConfig(
                    name=f"{job.run}-{job.lease}-{uuid.uuid4().hex[:8]}",
                    storage_path=str(scratch),
                    logging_config=LoggingConfig(log_level="WARNING"),  # type: ignore[call-arg]  # Train V2's
                    failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg]  # Train V2's
                ),
            )
            result = self._trainer.fit()
        return Outcome(**result.return_value)  # type: ignore[attr-defined]  # Train V2's


class _Trainer(TorchTrainer):
    """A TorchTrainer whose controller lives in this process, and not in an actor of its own.

    That actor costs a process of 300 MB and a second and a half at each start of the workers, and would be one more
    that can die alone.
    """

    _controller: _Controller | None = None

    def give_back_place(self) -> bool:
        """Give back what the workers have reserved, which ends them; False where they are not there yet."""
        group = self._controller.get_worker_group() if self._controller else None
        state = group._worker_group_state if group else None
        if state is None:
            return False
        remove_placement_group(state.placement_group_handle.placement_group)
        return True

    def _initialize_and_run_controller(self, **parts: Any) -> Result:
        self._controller = _Controller(**parts)
        asyncio.run(self._controller.run())  # type: ignore[no-untyped-call]
        return self._controller.get_result()

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]  # Train V2's
        # An actor of 600 MB that gives back the workers' place on the cluster when the actor of the controller dies.
        return [callback for callback in callbacks if not isinstance(callback, PlacementGroupCleanerCallback)]


class _Workers(WorkerGroup):
    def __init__(self, train_run_context: TrainRunContext, *parts: Any) -> None:
        super().__init__(train_run_context, *parts)
        # Ray Train reads it from the environment, which the runs of a process share; each document has its own.
        settings = train_run_context.train_loop_config
        assert settings is not None
        self._worker_health_check_timeout_s = settings[ANSWER_WITHIN_S]

    def _init_train_context_on_workers(self, workers: list[Any], sync_actor: Any, arguments: dict[str, Any]) -> None:
        """What Ray Train does, but for the handle of the controller's actor: there is none, and no worker asks it."""
        ray.get(
            [
                worker.actor.init_train_context.remote(
                    train_run_context=self._train_run_context,
                    distributed_context=worker.distributed_context,
                    synchronization_actor=sync_actor,
                    storage_context=self._storage_context,
                    worker_callbacks=self._worker_callbacks_to_propagate,
                    controller_actor=None,
                    **{name: values[number] for name, values in arguments.items()},
                )
                for number, worker in enumerate(workers)
            ]
        )
        self._decorate_worker_log_file_paths(workers)


class _Controller(TrainController):
    worker_group_cls: type[WorkerGroup] = _Workers

    def __init__(self, **parts: Any) -> None:
        _log_to_files(parts["train_run_context"])
        super().__init__(**parts)


def _log_to_files(context: TrainRunContext) -> None:
    """What the controller says goes to Ray's session alone, not over the user's screen as well."""
    settings = LoggingManager._get_controller_logger_config_dict(context)
    settings["loggers"]["ray.train"]["handlers"].remove("console")
    logging.config.dictConfig(settings)
