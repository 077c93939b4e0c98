"""The only use of Ray Tune's `Tuner`: runs it in a thread, so that the driver can look on and interfere."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig

from eagleray.spec.sweep import SweepSpec
from eagleray.store import ranking
from eagleray.store.scratch import scratch_directory
from eagleray.tune import schedulers
from eagleray.tune.adapters import Asker, Bound, Teller
from eagleray.tune.board import Board
from eagleray.tune.life import Shared
from eagleray.tune.trial import TrialActor

_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # files that repeat what our log has
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial may end before its first evaluation
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # a sweep goes on by our log, never by Tune's
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # how many there may be is for the board to say
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths mean the same in all processes
    "RAY_AIR_NEW_OUTPUT": "0",
}
_DRIVER_SHARE = {"node:__internal_head__": 0.001}
"""What the actor of a trial with workers of its own takes: no CPU, which its workers need."""


class Search:
    """A search that goes on in a thread."""

    def __init__(
        self,
        board: Board,
        spec: SweepSpec,
        shared: Shared,
        *,
        total_steps: int,
        trainable: type[tune.Trainable] = TrialActor,
    ) -> None:
        self._board, self._spec, self._shared = board, spec, shared
        self._total_steps, self._trainable = total_steps, trainable
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tune", daemon=True)
        self._thread.start()

    def has_ended(self, within_s: float) -> bool:
        """Wait so long at most; raises what has gone wrong in the search itself."""
        self._thread.join(within_s)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def wait(self, within_s: float) -> None:
        """Wait so long at most, however it ends."""
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            self._fit()
        except BaseException as error:
            self._error = error

    def _fit(self) -> None:
        os.environ.update(_ENVIRONMENT)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        with scratch_directory("tune") as scratch:
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(self._trainable, shared=self._shared), resources(self._shared)
                ),
                tune_config=TuneConfig(
                    num_samples=-1,
                    search_alg=Asker(self._board),
                    scheduler=self._scheduler(),
                    reuse_actors=True,
                ),
                run_config=RunConfig(
                    name="sweep",
                    storage_path=str(scratch),
                    callbacks=[Teller(self._board)],
                    stop=Bound(self._board),
                    failure_config=FailureConfig(max_failures=self._spec.retries),
                    # Else Tune asks each trial that ends for a checkpoint: ours has saved what is worth it.
                    checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            ).fit()

    def _scheduler(self) -> Any:
        sweep = self._board.sweep
        scheduler = schedulers.build(
            self._spec.scheduler,
            objective=ranking.primary(sweep.objectives),
            total_steps=self._total_steps,
            space=self._spec.space,
        )
        schedulers.replay(scheduler, sweep.trials)
        return scheduler


def resources(shared: Shared) -> PlacementGroupFactory:
    """Return what Tune reserves for a trial: its worker's share, or next to nothing where Ray Train reserves it."""
    if shared.num_workers > 1:
        return PlacementGroupFactory([_DRIVER_SHARE])
    gpus = {"GPU": float(shared.shape.num_gpus)} if shared.shape.num_gpus else {}
    return PlacementGroupFactory([{"CPU": float(shared.shape.num_cpus)} | gpus])
