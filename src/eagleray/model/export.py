"""How is a trained model written down, so that transformers and peft load it, and eagleray knows what it is?

What is saved is what learned: all weights, or the adapter alone with the base model's name and hash beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.core_model_loading import revert_weight_conversion

from eagleray.errors import ModelSourceError
from eagleray.model import description, quiet, sources, virtual_tokens
from eagleray.model.description import FILE as DESCRIPTION_FILE
from eagleray.model.description import BaseModelRecord, Description
from eagleray.spec.finetune import FineTuneSpec

__all__ = ["ADAPTER_FILE", "DESCRIPTION_FILE", "engine_names", "model_card", "save", "saved_names", "weights_file"]

_ADAPTER = "default"  # peft's name of the only adapter; it is in the names of the state dict, not in the file
ADAPTER_FILE = "adapter_model.safetensors"
_IN_FILE = {
    f".modules_to_save.{_ADAPTER}.": ".",
    f".lora_magnitude_vector.{_ADAPTER}.weight": ".lora_magnitude_vector",
    f"prompt_encoder.{_ADAPTER}.embedding.weight": "prompt_embeddings",
    f".ia3_l.{_ADAPTER}": ".ia3_l",
    f".{_ADAPTER}.": ".",
}
"""peft's rules for one adapter: its name falls out, and so does the wrapper around a module that is saved whole."""
_PIPELINE_TAGS = {"causal-lm": "text-generation", "masked-lm": "fill-mask", "seq2seq": "text2text-generation"}
"""The hub's words where they are not ours."""


def saved_names(model: nn.Module) -> list[str]:
    """The names, in the model's state dict, of what `save` wants to be given."""
    if isinstance(model, PeftModel):
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return list(model.state_dict())


def save(
    model: nn.Module,
    state_dict: Mapping[str, torch.Tensor],
    directory: Path,
    *,
    tokenizer: PreTrainedTokenizerBase,
    spec: FineTuneSpec,
    labels: tuple[str, ...],
) -> None:
    """Write weights, config, tokenizer and description into a directory that exists.

    `state_dict` holds whole tensors by the names of `saved_names`; the model's own weights, which may be sharded, are
    not looked at.
    """
    quiet.silence()
    if isinstance(model, PeftModel):
        _save_adapter(model, state_dict, directory)
    else:
        assert isinstance(model, PreTrainedModel)
        # One file, however large: it is found, hashed and read back without an index.
        is_renamed_only = _names_in_files(model) is not None
        model.save_pretrained(
            directory,
            state_dict=dict(state_dict),
            max_shard_size="1000GB",
            save_original_format=is_renamed_only,  # else as they are in memory: what was fused must be found again
        )
    tokenizer.save_pretrained(directory)
    description.write(directory, _description(spec, labels))


def weights_file(directory: Path) -> Path:
    """The safetensors file of a saved model, or of its adapter."""
    files = sorted(directory.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelSourceError(f"{directory} holds {len(files)} files of weights (*.safetensors), one was expected")
    return files[0]


def engine_names(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as a file names them, under the names of the model's state dict.

    Raises:
        ModelSourceError: the file holds a weight that the model has not.
    """
    names = {_file_name(name): name for name in saved_names(model)} if isinstance(model, PeftModel) else None
    known = names if names is not None else {name: name for name in model.state_dict()}
    if isinstance(model, PreTrainedModel):
        known |= {file_name: name for name, file_name in (_names_in_files(model) or {}).items()}
    _refuse_unknown(weights, known)
    return {known[name]: tensor for name, tensor in weights.items()}


def model_card(*, run: str, spec: FineTuneSpec, metrics: Mapping[str, Any], step: int) -> str:
    """The README.md of a trained model: what it is, how to use it, how well it did on each split of `metrics`."""
    is_hub_id = isinstance(sources.locate(spec.model.source), str)
    front = {
        "library_name": "transformers" if spec.method.type in ("full", "freeze") else "peft",
        **({"base_model": spec.model.source} if is_hub_id else {}),
        "pipeline_tag": _PIPELINE_TAGS.get(spec.task.type, spec.task.type),
        "tags": ["eagleray", spec.task.type, spec.method.type],
    }
    rows = _metric_rows(metrics)
    table = ["| split | metric | value |", "|---|---|---|", *rows] if rows else ["No metrics were measured."]
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False).strip(),
        "---",
        f"# {run}",
        "",
        f"`{spec.model.source}` fine-tuned for {spec.task.type} by {spec.method.type}, the checkpoint of step {step}.",
        "",
        "## Metrics",
        "",
        *table,
        "",
        "## Use",
        "",
        "```",
        f"eagleray predict {run} --input rows.jsonl",
        "```",
        "",
        "## Training",
        "",
        "```yaml",
        yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True).strip(),
        "```",
        "",
    ]
    return "\n".join(lines)


def _metric_rows(metrics: Mapping[str, Any]) -> list[str]:
    """A line a number; matrices and tables are in the run record."""
    return [
        f"| {split} | {name} | {value:.4f} |" if isinstance(value, float) else f"| {split} | {name} | {value} |"
        for split, values in metrics.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
        if isinstance(value, int | float)
    ]


def _description(spec: FineTuneSpec, labels: tuple[str, ...]) -> Description:
    base = BaseModelRecord(
        source=spec.model.source,
        revision=spec.model.revision,
        sha256=sources.sha256(spec.model.source),
        allow_pickle=spec.model.allow_pickle,
        allow_remote_code=spec.model.allow_remote_code,
    )
    return Description(
        task=spec.task.model_dump(mode="json"),
        labels=labels,
        max_length=spec.data.max_length,
        clean=spec.data.clean.facts(),
        method=spec.method.model_dump(mode="json"),
        base=base,
    )


def _save_adapter(model: PeftModel, state_dict: Mapping[str, torch.Tensor], directory: Path) -> None:
    # Not PeftModel.save_pretrained: it asks the hub about the base model's vocabulary.
    if virtual_tokens.is_prompt(model):  # of these peft would save what the model holds, which may be sharded
        weights = {_file_name(name): tensor for name, tensor in state_dict.items()}
    else:
        weights = get_peft_model_state_dict(
            model, state_dict=dict(state_dict), adapter_name=_ADAPTER, save_embedding_layers=False
        )
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, directory / ADAPTER_FILE)
    config = model.peft_config[_ADAPTER]
    config.inference_mode = True
    config.save_pretrained(str(directory))
    config.inference_mode = False


def _names_in_files(model: PreTrainedModel) -> dict[str, str] | None:
    """What transformers calls each weight in a file, by its name in memory; None where it also computes with them.

    Vision transformers, for one, are written by the names that they had before their layers were renamed.
    """
    marks = {name: torch.empty(0, device="meta") for name in model.state_dict()}
    of_mark = {id(mark): name for name, mark in marks.items()}
    try:
        written = revert_weight_conversion(model, dict(marks))
    except (RuntimeError, IndexError, ValueError):  # experts are split, which marks cannot be
        return None
    names = {of_mark[id(mark)]: file_name for file_name, mark in written.items() if id(mark) in of_mark}
    return names if len(names) == len(marks) == len(written) else None


def _file_name(name: str) -> str:
    for in_model, in_file in _IN_FILE.items():
        name = name.replace(in_model, in_file)
    return name


def _refuse_unknown(weights: Iterable[str], known: Mapping[str, str]) -> None:
    unknown = sorted(set(weights) - known.keys())
    if unknown:
        raise ModelSourceError(f"{len(unknown)} weights belong to another model, the first is {unknown[0]}")
