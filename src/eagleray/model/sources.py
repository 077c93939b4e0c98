"""Which files does a model source mean, and may they be loaded?

Weights come as safetensors, which is data alone. A pickle can run any code when it is opened, and so can the Python
files that some models bring along: both are refused unless the document allows them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from eagleray.errors import ModelSourceError
from eagleray.store import sources

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
_OTHER_FORMATS = ("*.h5", "*.msgpack", "*.onnx", "*.gguf")
_BLOCK_BYTES = 4 * 2**20
_FORMS = "give a directory, a .gguf file, pkg://package/path or a hub id (owner/name)"


def locate(source: str) -> Path | str:
    """The local directory or `.gguf` file that a source means, or the hub id that it is.

    Raises:
        ModelSourceError: it is a path where nothing is, or of a form that is unknown.
    """
    path = Path(sources.resolve(source)).expanduser()
    if path.exists():
        return path.absolute()
    if "://" in source:
        raise ModelSourceError(f"model.source {source}: this form is unknown: {_FORMS}")
    if _HUB_ID.fullmatch(source):
        return source
    raise ModelSourceError(f"model.source {source}: no such file or directory: {_FORMS}")


def check(source: str, *, allow_pickle: bool, allow_remote_code: bool) -> None:
    """Look at a local source without loading it; a hub id is looked at when it is loaded.

    Raises:
        ModelSourceError: nothing is there, it is no model, has no weights, or must not be loaded.
    """
    place = locate(source)
    if not isinstance(place, Path):
        return
    check_form(place, source=source)
    if place.is_file():
        return
    check_config(place, source=source)
    check_configs_code(place, source=source, allow_remote_code=allow_remote_code)
    check_weights(place, source=source, allow_pickle=allow_pickle)


def check_form(path: Path, *, source: str) -> None:
    """Raise ModelSourceError where a path is neither a directory nor a `.gguf` file."""
    if path.is_dir() or path.suffix.lower() == ".gguf":
        return
    raise ModelSourceError(f"model.source {source}: {path.name} is neither a directory nor a .gguf file: {_FORMS}")


def check_weights(directory: Path, *, source: str, allow_pickle: bool) -> None:
    """Raise ModelSourceError where a directory has no weights that may be loaded."""
    if any(directory.glob("*.safetensors")):
        _check_shards(directory, source=source)
        return
    pickles = [file.name for pattern in _PICKLES for file in sorted(directory.glob(pattern))]
    if pickles and allow_pickle:
        return
    if pickles:
        raise ModelSourceError(
            f"model.source {source}: the weights are a pickle ({', '.join(pickles)}), which can run any code when "
            "it is loaded: convert them to safetensors, or set model.allow_pickle: true if you trust their origin"
        )
    others = [file.name for pattern in _OTHER_FORMATS for file in sorted(directory.glob(pattern))]
    hint = f"; {others[0]} is there" + (": name that file" if others[0].endswith(".gguf") else "") if others else ""
    raise ModelSourceError(
        f"model.source {source}: no weights in {directory} (model.safetensors, or several with an index){hint}"
    )


def check_config(directory: Path, *, source: str) -> None:
    """Raise ModelSourceError where a directory is no model."""
    if (directory / "config.json").is_file():
        return
    if (directory / "adapter_config.json").is_file():
        raise ModelSourceError(
            f"model.source {source}: this is an adapter, not a model: name the model it was trained on"
        )
    raise ModelSourceError(f"model.source {source}: no config.json in {directory}: it is no model of transformers")


def check_configs_code(directory: Path, *, source: str, allow_remote_code: bool) -> None:
    """Raise ModelSourceError where the model or its tokenizer brings Python code and the document does not allow it."""
    for name in ("config.json", "tokenizer_config.json"):
        facts = read_json(directory / name, source=source)
        check_code(facts, source=source, file=name, allow_remote_code=allow_remote_code)


def check_code(facts: dict[str, Any], *, source: str, file: str, allow_remote_code: bool) -> None:
    """Raise ModelSourceError where a config names Python code, or a kernel, and the document does not allow it."""
    if allow_remote_code:
        return
    _check_kernels(facts, source=source, file=file)
    if not facts.get("auto_map"):
        return
    raise ModelSourceError(
        f"model.source {source}: {file} asks to run Python code that comes with the model (auto_map): set "
        "model.allow_remote_code: true if you have read and trust it, else remove auto_map from a copy, which works "
        "where transformers has a class of its own for this model"
    )


def read_json(file: Path, *, source: str) -> dict[str, Any]:
    """A JSON object of the model; {} where there is no such file."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelSourceError(f"model.source {source}: {file.name} is not valid JSON: {error}") from None
    if not isinstance(facts, dict):
        raise ModelSourceError(f"model.source {source}: {file.name} holds no JSON object")
    return facts


def sha256(source: str) -> str:
    """One hash for the weights of a local source, whatever the number of files; "" for a hub id."""
    place = locate(source)
    if isinstance(place, str):
        return ""
    if place.is_file():
        return _sha256_of(place)
    patterns = ("*.safetensors", *_PICKLES)
    files = sorted({file for pattern in patterns for file in place.glob(pattern)})
    digests = [(file.name, _sha256_of(file)) for file in files]
    return digests[0][1] if len(digests) == 1 else hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _check_kernels(facts: dict[str, Any], *, source: str, file: str) -> None:
    """Transformers downloads and runs a kernel whose name has an owner: owner/kernel."""
    for key, value in facts.items():
        if isinstance(value, dict):
            _check_kernels(value, source=source, file=file)
        elif isinstance(value, str) and "/" in value and "_implementation" in key:
            raise ModelSourceError(
                f"model.source {source}: {file} asks to run the kernel {value} of the hub ({key}): set "
                "model.allow_remote_code: true if you trust it, else remove the key from a copy"
            )


def _check_shards(directory: Path, *, source: str) -> None:
    name = "model.safetensors.index.json"
    weight_map = read_json(directory / name, source=source).get("weight_map", {})
    names: set[Any] = set(weight_map.values()) if isinstance(weight_map, dict) else {None}
    strange = [each for each in names if not isinstance(each, str) or Path(each).name != each]
    if strange:
        raise ModelSourceError(
            f"model.source {source}: {name} names {strange[0]!r}, which is no file beside it: weights are read from "
            "the model's own directory only"
        )
    missing = sorted(name for name in names if not (directory / name).is_file())
    if missing:
        raise ModelSourceError(
            f"model.source {source}: {len(missing)} of {len(names)} weight files are missing: {', '.join(missing[:3])}"
        )


def _sha256_of(file: Path) -> str:
    facts = file.stat()
    return _sha256(file, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=256)  # asked for at every checkpoint; size and time make a changed file another question
def _sha256(file: Path, size_bytes: int, modified_ns: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
