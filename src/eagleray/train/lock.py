"""What a run depended on: versions, commit, data, seed, hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess

from eagleray.metrics import own
from eagleray.model.load import source_sha256
from eagleray.spec.finetune import FineTune
from eagleray.store.runs import LockRecord
from eagleray.train.inputs import Inputs
from eagleray.train.resources import Resources

PACKAGES = ("eagleray", "ray", "torch", "transformers", "deepspeed", "peft", "datasets", "tokenizers", "numpy")


def of_run(document: FineTune, inputs: Inputs, resources: Resources, *, prompt_of: str) -> LockRecord:
    """Return the lock record of a run that is about to start; `prompt_of`: see `prompt_source.find`."""
    return LockRecord(
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        git_commit=_git_commit(),
        data_fingerprint=inputs.data.fingerprint,
        seed=document.spec.train.seed,
        hardware={
            "machine": platform.machine(),
            "system": platform.platform(),
            "num_cpus": resources.num_cpus,
            "num_gpus": resources.num_gpus,
            "num_nodes": resources.num_nodes,
            "driver_cpus": os.cpu_count(),
        },
        python=platform.python_version(),
        model_sha256=source_sha256(document.spec.model.source),
        metrics_sha256=own.sha256(document.spec.metrics),
        prompt_of=prompt_of,
    )


def _git_commit() -> str:
    """The commit of the working directory, marked where files were changed since; empty outside of a repository."""
    commit = _git("rev-parse", "HEAD")
    return f"{commit}-dirty" if commit and _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
