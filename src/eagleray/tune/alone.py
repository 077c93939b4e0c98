"""A trial of one worker: trained in the process of its actor, which keeps what the next trial can use."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

import torch

from eagleray.train import group
from eagleray.train.assembly import Job
from eagleray.train.group import Group
from eagleray.train.loading import Keeper
from eagleray.train.session import Evaluation, Outcome, evaluations


class Alone:
    """A process group of one, the data and the pretrained weights, as long as the process lives."""

    def __init__(self) -> None:
        self._keeper = Keeper()
        self._stack = ExitStack()
        self._group: Group | None = None

    def evaluations(self, job: Job, *, num_threads: int) -> Generator[Evaluation, None, Outcome]:
        """Train as the job says; see `session.evaluations`."""
        torch.set_num_threads(num_threads)
        if self._group is None:
            self._group = self._stack.enter_context(group.alone())
        return evaluations(job, self._group, loader=self._keeper)

    def close(self) -> None:
        """Leave the process group."""
        self._stack.close()
        self._group = None
