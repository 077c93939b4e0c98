"""Under which key everything of a run or a registered model lies, and which ids and names are safe to use."""

from __future__ import annotations

import re

from eagleray.errors import UserError

RUNS = "runs"
MODELS = "models"
API_KEYS = "keys"

_RUN_ID = re.compile(r"[a-z0-9]([-a-z0-9]{0,58}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")  # as `spec.base.Name`


def run(run: str) -> str:
    """Folder of a run. Raises UserError where `run` is no run id, so that no key can point out of the storage."""
    if not is_run_id(run):
        raise UserError(f"{run!r} is no run id: an id is made of a-z, 0-9 and '-', such as sms-spam-0001")
    return f"{RUNS}/{run}"


def is_run_id(text: str) -> bool:
    """Whether `text` can be a run id."""
    return _RUN_ID.fullmatch(text) is not None


def document(run_id: str) -> str:
    """The document as it was given. Its exclusive creation claims the id."""
    return f"{run(run_id)}/document.yaml"


def deleted_runs() -> str:
    """Folder of the ids whose runs were deleted; no id itself, as it has no number."""
    return f"{RUNS}/deleted"


def deleted_run(run_id: str) -> str:
    """That a run of this id was there."""
    run(run_id)
    return f"{deleted_runs()}/{run_id}"


def lock(run_id: str) -> str:
    """What the run was made with."""
    return f"{run(run_id)}/lock.json"


def record(run_id: str) -> str:
    """The run record. A run exists while its record does."""
    return f"{run(run_id)}/run.json"


def progress(run_id: str) -> str:
    """How far the run is."""
    return f"{run(run_id)}/progress.json"


def events(run_id: str) -> str:
    """Folder of the events."""
    return f"{run(run_id)}/events"


def event(run_id: str, number: int) -> str:
    """One event."""
    return f"{events(run_id)}/{number:06d}.json"


def steps_folder(run_id: str) -> str:
    """Folder of the step figures."""
    return f"{run(run_id)}/steps"


def steps(run_id: str, lease_number: int, number: int) -> str:
    """One closed segment of step figures of an attempt."""
    return f"{steps_folder(run_id)}/{lease_number:06d}-{number:06d}.jsonl"


def checkpoints(run_id: str) -> str:
    """Folder of the checkpoints."""
    return f"{run(run_id)}/checkpoints"


def checkpoint(run_id: str, step: int, lease_number: int) -> str:
    """Folder of one checkpoint. Attempts never write into each other's: a late one of a fenced attempt harms none."""
    return f"{checkpoints(run_id)}/{step:09d}-{lease_number:04d}"


def manifest(run_id: str, step: int, lease_number: int) -> str:
    """The manifest of one checkpoint."""
    return f"{checkpoint(run_id, step, lease_number)}/manifest.json"


def state_shard(rank: int) -> str:
    """One worker's part of the training state, below the folder of a checkpoint."""
    return f"state/{rank:05d}.safetensors"


def is_state(path: str) -> bool:
    """Whether a file of a checkpoint is training state; the others are the model's."""
    return path.startswith("state/")


def leases(run_id: str) -> str:
    """Folder of the leases."""
    return f"{run(run_id)}/leases"


def lease(run_id: str, number: int) -> str:
    """Who drives an attempt. Of all that exist the highest number counts."""
    return f"{leases(run_id)}/{number:06d}.json"


def heartbeat(run_id: str, number: int) -> str:
    """The sign of life of a lease's holder."""
    return f"{run(run_id)}/heartbeats/{number:06d}.json"


def stop(run_id: str, number: int) -> str:
    """The request that an attempt stops after its step."""
    return f"{run(run_id)}/stop/{number:06d}.json"


def ledgers(run_id: str) -> str:
    """Folder of the sample ledger."""
    return f"{run(run_id)}/ledger"


def ledger(run_id: str, step: int, lease_number: int) -> str:
    """Which samples were used between a checkpoint and its parent."""
    return f"{ledgers(run_id)}/{step:09d}-{lease_number:04d}.jsonl.gz"


def quarantine(run_id: str) -> str:
    """The samples that could not be used."""
    return f"{run(run_id)}/quarantine.jsonl"


def failures(run_id: str) -> str:
    """Folder of the workers' failures."""
    return f"{run(run_id)}/failures"


def failure(run_id: str, lease_number: int, rank: int) -> str:
    """One worker's failure, without the suffix of its facts (.json) or its traceback (.txt)."""
    return f"{failures(run_id)}/{lease_number:06d}-{rank:05d}"


def model(run_id: str) -> str:
    """Folder of the trained model."""
    return f"{run(run_id)}/model"


def trials(run_id: str) -> str:
    """Folder of a sweep's trials: a storage of its own, with runs in it."""
    return f"{run(run_id)}/trials"


def times_folder(run_id: str) -> str:
    """Folder of what the attempts did with their time."""
    return f"{run(run_id)}/times"


def times(run_id: str, lease_number: int) -> str:
    """What one attempt did with its time."""
    return f"{times_folder(run_id)}/{lease_number:06d}.json"


def mistakes(run_id: str, split: str) -> str:
    """The rows of a split that the model is most wrong about."""
    return f"{run(run_id)}/mistakes/{split}.json"


def teaching(run_id: str, key: str) -> str:
    """Folder of the rows that a run's model has labelled for a student."""
    return f"{run(run_id)}/teaching/{key}"


def data_report(run_id: str) -> str:
    """What the data looked like when it was prepared."""
    return f"{run(run_id)}/data.json"


def report(run_id: str) -> str:
    """The page that shows a run or a sweep."""
    return f"{run(run_id)}/report.html"


def tensorboard(run_id: str) -> str:
    """Folder of the TensorBoard files."""
    return f"{run(run_id)}/tensorboard"


def api_keys(name: str) -> str:
    """Folder of the API keys of one name, a DNS label."""
    return f"{API_KEYS}/{name}"


def api_key(name: str, number: int) -> str:
    """One API key: its hash and what it may do."""
    return f"{api_keys(name)}/{number:06d}.json"


def registered(name: str) -> str:
    """Folder of a registered model. Raises UserError where `name` is no name."""
    return f"{MODELS}/{_checked(name, 'model')}"


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a registered model."""
    return _NAME.fullmatch(text) is not None


def is_alias(text: str) -> bool:
    """Whether `text` can be an alias: a name that cannot be taken for the number of a version."""
    return is_name(text) and not text.isdecimal()


def versions(name: str) -> str:
    """Folder of the versions of a registered model."""
    return f"{registered(name)}/versions"


def version(name: str, number: int) -> str:
    """Folder of one version."""
    return f"{versions(name)}/{number:06d}"


def claim(name: str, number: int) -> str:
    """What takes the number of a version, for ever."""
    return f"{version(name, number)}/claim"


def version_record(name: str, number: int) -> str:
    """The record of a version. A version exists while its record does."""
    return f"{version(name, number)}/version.json"


def version_files(name: str, number: int) -> str:
    """Folder of the files of a version."""
    return f"{version(name, number)}/files"


def golden(name: str, number: int) -> str:
    """Rows and the answers that the version gave to them when it was registered."""
    return f"{version(name, number)}/golden.jsonl"


def aliases(name: str) -> str:
    """Folder of the aliases of a registered model."""
    return f"{registered(name)}/aliases"


def alias(name: str, alias: str) -> str:
    """Chain of the changes of an alias. Raises UserError where `alias` is no name, or a number."""
    return f"{aliases(name)}/{_checked_alias(alias)}"


def rollouts(name: str) -> str:
    """Folder of the rollouts of a registered model."""
    return f"rollouts/{_checked(name, 'model')}"


def rollout(name: str, alias: str) -> str:
    """Chain of the records of how an endpoint follows an alias."""
    return f"{rollouts(name)}/{_checked_alias(alias)}"


def heard(name: str, alias: str) -> str:
    """The last sign of life of an endpoint that follows an alias: beside the chain's objects, which are numbers."""
    return f"{rollout(name, alias)}/heard.json"


def link(chain: str, number: int) -> str:
    """One object of a chain. The highest number counts."""
    return f"{chain}/{number:06d}.json"


def _checked(name: str, what: str) -> str:
    if not is_name(name):
        raise UserError(
            f"{name!r} is no {what} name: a name is made of at most 40 of a-z, 0-9 and '-', and begins and ends with a "
            "letter or digit, such as sms-spam"
        )
    return name


def _checked_alias(alias: str) -> str:
    if alias.isdecimal():
        raise UserError(f"{alias!r} cannot be an alias: a number means a version. Give a name, such as champion")
    return _checked(alias, "alias")
