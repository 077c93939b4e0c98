"""What does the operator see of a training document, its job and what that has told?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from eagleray.kube import drift, phases
from eagleray.kube.observed import Observed
from eagleray.kube.phases import JobState, Progress
from eagleray.kube.target import Manifest
from eagleray.kube.wanted import ATTEMPT, DOCUMENT, Run

MID_RUN: Final = ("queued", "starting", "running")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a plan is made from."""

    run: Run
    observed: Observed
    job: Manifest | None
    state: JobState
    attempt: int
    progress: Progress
    now: datetime

    @property
    def is_of_another(self) -> bool:
        """Whether the job carries another document than the one that is there now."""
        return self.job is not None and drift.note(self.job, DOCUMENT) != self.run.digest

    @property
    def is_refused(self) -> bool:
        """Whether the document was changed while its run goes on, and says that the run is to end first."""
        return self.is_of_another and self.state in MID_RUN and self.run.lifecycle.on_change == "refuse"

    @property
    def ended(self) -> str | None:
        """How the run of this very document has ended, if it has."""
        status = self.observed.status
        return status.get("outcome") if status.get("finished") == self.run.digest else None


def look(run: Run, observed: Observed, now: datetime) -> Seen:
    """Put together what a plan is made from."""
    job = observed.child("RayJob", observed.name)
    told = observed.child("ConfigMap", f"{observed.name}-progress")
    progress = phases.of_progress(told, since=(job or {}).get("status", {}).get("startTime"))
    return Seen(run, observed, job, phases.of_job(job), _attempt(run, observed, job), progress, now)


def _attempt(run: Run, observed: Observed, job: Manifest | None) -> int:
    status = observed.status
    known = int(status.get("attempt", 1)) if status.get("document") == run.digest else 1
    if job is not None and drift.note(job, DOCUMENT) == run.digest:
        known = max(known, attempt_of(job))
    return known


def attempt_of(job: Manifest) -> int:
    """Which job of its document it is; the first where somebody has spoilt what says so."""
    noted = drift.note(job, ATTEMPT)
    return int(noted) if noted.isdecimal() else 1
