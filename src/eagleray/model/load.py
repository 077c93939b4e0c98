"""How does a model source of a document become a tokenizer and a model in memory?"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from eagleray.errors import ModelSourceError, UserError
from eagleray.model import gguf, hub, quiet, sources

if TYPE_CHECKING:  # brings what transformers has for models: two seconds, which who reads rows alone need not wait
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)


def load_tokenizer(*, source: str, revision: str = "main", allow_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a source, always with a padding token: where it has none, the end of text.

    Raises:
        ModelSourceError: there is none, or it asks to run code that is not allowed.
    """
    place, options = _prepared(source, revision=revision, allow_remote_code=allow_remote_code)
    if isinstance(place, Path) and not (place / "tokenizer_config.json").is_file():
        sources.check_config(place, source=source)  # without either it is no model at all, which is the better message
    with _explained(source, what="the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # transformers makes an empty tokenizer of a directory that has a config and no vocabulary.
        raise ModelSourceError(
            f"model.source {source}: no tokenizer in {place}: tokenizer.json (or its vocabulary files) is missing"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelSourceError(f"model.source {source}: the tokenizer has neither a padding token nor an end of text")
    return tokenizer


def load_model(
    model_class: type[Any],
    *,
    source: str,
    revision: str = "main",
    dtype: torch.dtype,
    config_overrides: dict[str, Any],
    allow_pickle: bool = False,
    allow_remote_code: bool = False,
    quantization: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """The model of a source under the head that `model_class` (an Auto class) puts on it.

    `quantization` holds what transformers is told of packed weights, see `quantized`. A head that the source lacks, or
    has in another size, is new and random: seed torch before. Overrides of what a model's config does not know are left
    out.

    Raises:
        ModelSourceError: it is not there, must not be loaded, is damaged, or its weights belong to another model.
    """
    place, options = _prepared(source, revision=revision, allow_remote_code=allow_remote_code)
    if isinstance(place, Path):
        sources.check_config(place, source=source)
        sources.check_weights(place, source=source, allow_pickle=allow_pickle)
    with _explained(source, what="the model"):
        config = _config(place, options, overrides=config_overrides)
        model, facts = model_class.from_pretrained(
            place,
            **options,
            config=config,
            dtype=dtype,
            use_safetensors=None if allow_pickle else True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **(quantization or {}),
        )
    _check_loaded(model, facts, source=source)
    return model  # type: ignore[no-any-return]


def empty_model(
    model_class: type[Any],
    *,
    source: str,
    revision: str = "main",
    dtype: torch.dtype,
    config_overrides: dict[str, Any],
    allow_remote_code: bool = False,
) -> PreTrainedModel:
    """What `load_model` returns but for its weights, which are on the meta device: only the config is read.

    Raises:
        ModelSourceError: it is not there, must not be loaded, or its config describes no model.
    """
    place, options = _prepared(source, revision=revision, allow_remote_code=allow_remote_code)
    if isinstance(place, Path):
        sources.check_config(place, source=source)
    with _explained(source, what="the config"):
        config = _config(place, options, overrides=config_overrides)
    try:
        with torch.device("meta"):
            model = model_class.from_config(config, dtype=dtype, trust_remote_code=allow_remote_code)
    except Exception as error:  # a value of the config that a layer cannot have may raise anything
        raise ModelSourceError(
            f"model.source {source}: no model can be built from its config.json: {type(error).__name__}: {error}"
        ) from error
    return model  # type: ignore[no-any-return]


def check_max_length(
    max_length: int,
    *,
    tokenizer: PreTrainedTokenizerBase,
    source: str,
    revision: str = "main",
    allow_remote_code: bool = False,
    num_virtual_tokens: int = 0,
) -> None:
    """Raise UserError where samples may be longer than the positions that the model has learned.

    Rotary and relative positions have no such end. A learned prompt of `num_virtual_tokens` takes positions, too.
    """
    place, options = _prepared(source, revision=revision, allow_remote_code=allow_remote_code)
    if isinstance(place, Path):
        sources.check_config(place, source=source)
    with _explained(source, what="the config"):
        config = AutoConfig.from_pretrained(place, **options)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or getattr(config, "rope_parameters", None):
        return
    # The tokenizer knows better where some positions are reserved: RoBERTa has 514, of which 512 are for tokens.
    limit = min(positions, tokenizer.model_max_length) - num_virtual_tokens
    if max_length > limit:
        left = f" that method.num_virtual_tokens {num_virtual_tokens} leaves" if num_virtual_tokens else ""
        raise UserError(
            f"data.max_length {max_length} is more than the {limit} positions{left} of model.source {source}: "
            f"set data.max_length: {limit}"
        )


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A sha256 over all that decides how a tokenizer turns text into ids."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {"vocab": tokenizer.get_vocab()}
    # What the last call asked for is kept in there, and says nothing about the next.
    rules.pop("truncation", None)
    rules.pop("padding", None)
    facts = {
        "rules": rules,
        "class": type(tokenizer).__name__,
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "inputs": list(tokenizer.model_input_names),
        "chat_template": tokenizer.chat_template,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def source_sha256(source: str) -> str:
    """The hash of a local source's weights; "" for a hub id, which its revision names."""
    return sources.sha256(source)


def _config(place: Path | str, options: dict[str, Any], *, overrides: dict[str, Any]) -> PreTrainedConfig:
    return overridden(AutoConfig.from_pretrained(place, **options), overrides)


def overridden(config: PreTrainedConfig, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    """Set what a task wants of a config, where the architecture has such a thing, and return it."""
    for name, value in overrides.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _prepared(source: str, *, revision: str, allow_remote_code: bool) -> tuple[Path | str, dict[str, Any]]:
    """Where to load from, and the options that every `from_pretrained` takes; refuses what must not be loaded."""
    quiet.silence()
    located = sources.locate(source)
    if isinstance(located, Path):
        directory = _directory(located, source=source)
        sources.check_configs_code(directory, source=source, allow_remote_code=allow_remote_code)
        return directory, {"local_files_only": True, "trust_remote_code": allow_remote_code}
    options = {"revision": revision, "local_files_only": not hub.is_reachable()}
    with _explained(source, what="the config"):
        facts, _ = PreTrainedConfig.get_config_dict(located, **options)
    sources.check_code(facts, source=source, file="config.json", allow_remote_code=allow_remote_code)
    return located, {**options, "trust_remote_code": allow_remote_code}


def _directory(path: Path, *, source: str) -> Path:
    """The directory to load from: a `.gguf` file is turned into one, once, in the cache."""
    sources.check_form(path, source=source)
    return path if path.is_dir() else gguf.converted(path)


@contextmanager
def _explained(source: str, *, what: str) -> Iterator[None]:
    """Turn what transformers and the hub client raise about a source into one message."""
    try:
        yield
    except ModelSourceError:
        raise
    except (OSError, ValueError, KeyError, SafetensorError, ImportError, RuntimeError) as error:
        is_hub_id = isinstance(sources.locate(source), str)
        if is_hub_id and not hub.is_reachable():
            raise ModelSourceError(
                f"model.source {source}: {hub.why_not()}: check the network, or name a directory"
            ) from error
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        if first.startswith("Unrecognized configuration class") and "AutoModel" in first:
            name = first.rpartition("AutoModel: ")[2].rstrip(".")
            raise ModelSourceError(
                f"model.source {source}: transformers has no {name} for this kind of model: choose another model, or "
                "another task"
            ) from error
        hint = "it may be cut short, or a Git LFS pointer instead of the file" if not is_hub_id else "check the id"
        raise ModelSourceError(f"model.source {source}: {what} cannot be loaded: {first} ({hint})") from error


def _check_loaded(model: PreTrainedModel, facts: dict[str, Any], *, source: str) -> None:
    """Refuse weights that are another model's; note the new ones in the log."""
    base = getattr(model, model.base_model_prefix, model)
    inside = {name for name, parameter in model.named_parameters() if any(parameter is p for p in base.parameters())}
    mismatched = sorted(name for name, *_ in facts["mismatched_keys"] if name in inside)
    if mismatched and base is not model:
        raise ModelSourceError(
            f"model.source {source}: config.json and weights disagree on the size of {mismatched[0]}"
        )
    missing = inside & set(facts["missing_keys"])
    if 2 * len(missing) > len(inside):
        raise ModelSourceError(
            f"model.source {source}: {len(missing)} of {len(inside)} weights of a {type(model).__name__} are not in "
            "its files: config.json and weights belong to different models"
        )
    if facts["missing_keys"]:
        _log.info("new weights in the model of %s: %s", source, ", ".join(sorted(facts["missing_keys"])))
