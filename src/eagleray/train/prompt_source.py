"""Which model does a document begin its prompt with? Without loading any: who only looks what is done asks it, too."""

from __future__ import annotations

from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.method import PromptTuningSpec, PTuningV2Spec
from eagleray.store import runs
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord


def run(objects: Objects, spec: FineTuneSpec) -> RunRecord | None:
    """The run that a document names; None where it names none. Raises UserError: there is no such run."""
    if not isinstance(spec.method, PTuningV2Spec | PromptTuningSpec) or spec.method.start_from is None:
        return None
    return runs.find(objects, spec.method.start_from)


def find(objects: Objects, spec: FineTuneSpec) -> str:
    """The model as `run@step`: a name means another one once there is a newer run. Empty where the document names none.

    Raises UserError: there is no such run.
    """
    record = run(objects, spec)
    return "" if record is None else f"{record.run}@{record.best_step}"
