"""In which form does a registered model leave the registry, and does it answer there as it did before?

Each form but the files themselves is asked the version's golden rows once it is written: one that answers otherwise is
not handed out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from eagleray.errors import UserError
from eagleray.flow import merging, register
from eagleray.model import exported, halves, onnx
from eagleray.model.halves import Example
from eagleray.serving import agreement, loaded
from eagleray.serving.backends import onnx as onnx_backend
from eagleray.serving.loaded import Loaded
from eagleray.spec.endpoint import TorchBackendSpec
from eagleray.store.lineage import GoldenRow
from eagleray.tasks.multi_task import MultiTask
from eagleray.tasks.seq2seq import Seq2Seq

Form = Literal["safetensors", "onnx", "torch-export"]

_MAX_LOGIT_DIFFERENCE = 1e-3
"""Of a logit, which is no probability: rounding over a decoder's layers adds up to less."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How near what was written comes to the model as it was trained."""

    file: str
    size_bytes: int
    max_difference: float
    """The largest: of a probability, or where texts are written of a logit."""
    agreement: float
    """Share of the golden rows with the same best answer; of texts, of the tokens."""


Say = Callable[[str], None]


def write(
    directory: Path, golden: Sequence[GoldenRow], to: Path, *, form: Form, int8: bool = False, say: Say
) -> list[Parity]:
    """Write the model of a version's files into `to`, which is not there, and tell how near each file comes to it.

    `int8` has a file of 8-bit weights beside that of ONNX; other forms have none.

    Raises:
        UserError: such a model has no such form, or what was written answers otherwise.
    """
    if form == "safetensors":
        merging.merge(directory, to)
        return _whole(directory, golden, to)
    model = loaded.load(directory, backend=TorchBackendSpec(type="torch"))
    _refuse(model, golden, form)
    _copy_besides_weights(directory, to)
    if isinstance(model.task, Seq2Seq):
        return _halves(model, golden, to, int8=int8)
    if form == "torch-export":
        return [_program(model, golden, to)]
    return _onnx(model, golden, to, int8=int8, say=say)


def _refuse(model: Loaded, golden: Sequence[GoldenRow], form: Form) -> None:
    if not golden:
        raise UserError(f"--to {form}: the version has no golden rows to check with what is written: register it anew")
    if model.generates:
        raise UserError(
            f"--to {form}: a causal-lm writes token by token with a cache that grows, which no single pass can be: "
            "export `--to safetensors` for transformers, vLLM and llama.cpp's converter, or serve it here"
        )
    if isinstance(model.task, MultiTask):
        raise UserError(
            f"--to {form}: a file has one head and this model has several: export `--to safetensors` for eagleray, or "
            "serve it here with `backend: torch`"
        )
    if model.writes and form == "torch-export":
        raise UserError(f"--to {form}: a seq2seq model is two halves and a search: export `--to onnx`")


def _copy_besides_weights(directory: Path, to: Path) -> None:
    """What whoever calls the model needs: tokenizer, config, description and card."""
    to.mkdir(parents=True)
    for file in directory.iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            shutil.copyfile(file, to / file.name)


def _whole(directory: Path, golden: Sequence[GoldenRow], to: Path) -> list[Parity]:
    if not golden:
        return []
    backend = TorchBackendSpec(type="torch")
    before, after = loaded.load(directory, backend=backend), loaded.load(to, backend=backend)
    weights = next(to.glob("*.safetensors"))
    return [_checked(before, after, golden, weights, to, tolerance=register.MAX_FP32_DIFFERENCE)]


def _program(model: Loaded, golden: Sequence[GoldenRow], to: Path) -> Parity:
    file = to / exported.FILE
    try:
        program = exported.export(model.trained.model, register.example(model, tuple(golden)), file)
    except onnx.NotExportable as error:
        raise UserError(f"--to torch-export: the model cannot be exported: {error}") from error
    other = model.on(program, tolerance=agreement.EXACT)
    return _checked(model, other, golden, file, to, tolerance=register.MAX_FP32_DIFFERENCE)


def _onnx(model: Loaded, golden: Sequence[GoldenRow], to: Path, *, int8: bool, say: Say) -> list[Parity]:
    told: list[str] = []
    found = register.onnx_files(model, tuple(golden), to, say=told.append)
    warnings = [text.removeprefix("warning: ") for text in told if text.startswith("warning: ")]
    if not found:
        raise UserError(f"--to onnx: {'; '.join(warnings)}")
    if not int8:
        (to / found["int8"].path).unlink()
    elif warnings:
        say(f"warning: {warnings[0]}")
    return [
        Parity(each.path, each.size_bytes, each.max_difference, each.agreement)
        for precision, each in found.items()
        if int8 or precision == "fp32"
    ]


def _checked(
    before: Loaded, after: Loaded, golden: Sequence[GoldenRow], file: Path, to: Path, *, tolerance: float
) -> Parity:
    """Ask both all golden rows. Raises UserError where they answer otherwise."""
    expected, found = (each.answer_all(each.encode(row.input for row in golden)) for each in (before, after))
    difference, same = agreement.nearness(expected, found)
    if before.writes:
        if wrong := agreement.differences(expected, found, agreement.EXACT):
            raise UserError(f"{file.name} answers otherwise than the model: {wrong[0]}")
    elif difference > tolerance:
        raise UserError(
            f"{file.name} answers otherwise than the model: the largest difference is {difference:.2g}, {tolerance:g} "
            "is allowed"
        )
    return Parity(file.relative_to(to).as_posix(), file.stat().st_size, difference, same)


def _halves(model: Loaded, golden: Sequence[GoldenRow], to: Path, *, int8: bool) -> list[Parity]:
    example = _example_of_halves(model, golden)
    torch_model: Any = model.trained.model
    with torch.inference_mode():
        read = halves.Encoder(torch_model)(**example.source).logits
        said = halves.Decoder(torch_model)(**halves.decoder_inputs(read, example)).logits
    try:
        with torch.no_grad():
            fp32 = halves.export(torch_model, _plain(example), to)
    except onnx.NotExportable as error:
        raise UserError(f"--to onnx: the model cannot be exported: {error}") from error
    found = _parities(fp32, example, said, to)
    if (difference := found[-1].max_difference) > _MAX_LOGIT_DIFFERENCE:
        raise UserError(
            f"--to onnx: ONNX Runtime answers otherwise than PyTorch: the largest difference of a logit is "
            f"{difference:.2g}, {_MAX_LOGIT_DIFFERENCE:g} is allowed"
        )
    if not int8:
        return found
    smaller = tuple(file.with_name(file.name.replace("fp32", "int8")) for file in fp32)
    for large, small in zip(fp32, smaller, strict=True):
        onnx.quantise(large, small)
    return [*found, *_parities(smaller, example, said, to)]


def _parities(files: Sequence[Path], example: Example, said: torch.Tensor, to: Path) -> list[Parity]:
    """Of both halves together: what is read by the one goes into the other."""
    encoder, decoder = (onnx_backend.load(file) for file in files)
    found = decoder(**halves.decoder_inputs(encoder(**example.source).logits, example)).logits
    difference = float((found - said).abs().max())
    same = float((found.argmax(dim=-1) == said.argmax(dim=-1)).float().mean())
    return [Parity(file.relative_to(to).as_posix(), file.stat().st_size, difference, same) for file in files]


def _example_of_halves(model: Loaded, golden: Sequence[GoldenRow]) -> Example:
    """The golden rows as one batch, and what the model wrote to them."""
    rows = [row.input for row in golden] * (1 if len(golden) > 1 else 2)  # one row is no example of any number
    batch = model.batch(model.encode(rows))
    source = {name: batch[name].cpu() for name in ("input_ids", "attention_mask")}
    torch_model: Any = model.trained.model
    task: Any = model.task  # seq2seq
    with torch.inference_mode():
        said = torch_model.generate(**source, max_new_tokens=task.max_new_tokens, do_sample=False, num_beams=1)
    return Example(source, said)


def _plain(example: Example) -> Example:
    """Copies that do not remember inference mode, which the exporter refuses."""
    return Example({name: tensor.clone() for name, tensor in example.source.items()}, example.said.clone())
