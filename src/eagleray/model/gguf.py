"""How does a quantised `.gguf` file become a model that can learn?

It is de-quantised once into a directory of safetensors in the cache: reading a 98 MB file anew took 18 s in each
worker (its tokenizer alone 4 s), reading the directory takes less than one. And a model that transformers loads from
GGUF counts as quantised, which it refuses to save.
"""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import shutil
import struct
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from eagleray.errors import ModelSourceError
from eagleray.store import cache

if TYPE_CHECKING:  # see `load`
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)

_FORMAT = "1"  # raise it when what is written changes


def converted(file: Path) -> Path:
    """The directory with the model of a `.gguf` file; made by the first process that asks, the others wait for it."""
    facts = file.stat()
    stamp = f"{_FORMAT}:{file.resolve()}:{facts.st_size}:{facts.st_mtime_ns}"
    directory = cache.folder("models") / f"{file.stem}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    with FileLock(directory.with_name(f"{directory.name}.lock")):
        if not directory.exists():
            _convert(file, directory)
    cache.touch(directory)
    return directory


def _convert(file: Path, directory: Path) -> None:
    # Written beside and renamed: killed in mid-writing, no half model is taken for a whole one.
    unfinished = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    _log.info("de-quantising %s into %s, once", file, directory)
    # transformers would ask on the terminal whether to run the code of a config.json beside it.
    source: dict[str, Any] = {
        "pretrained_model_name_or_path": str(file.parent),
        "gguf_file": file.name,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    try:
        with redirect_stderr(io.StringIO()):  # a progress bar that obeys no setting
            tokenizer = AutoTokenizer.from_pretrained(**source)
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    except (OSError, ValueError, ImportError, LookupError, RuntimeError, struct.error) as error:
        shutil.rmtree(unfinished)
        raise ModelSourceError(f"{file} cannot be read as a language model in GGUF: {error}") from error
    tokenizer.save_pretrained(unfinished)
    _save(model, unfinished)
    unfinished.rename(directory)


def _save(model: PreTrainedModel, directory: Path) -> None:
    """Write by hand what `save_pretrained` refuses to write of a quantised model."""
    config = copy.deepcopy(model.config)
    del config.quantization_config
    config.architectures = [type(model).__name__]
    config.dtype = "float32"
    config.save_pretrained(directory)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(directory)
    once = {tensor.data_ptr(): name for name, tensor in reversed(model.state_dict().items())}  # tied weights once
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name in once.values()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
