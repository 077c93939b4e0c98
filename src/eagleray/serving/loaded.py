"""A model in memory: how does it read rows, and what does it answer to them?

The one way to an answer: `predict`, registration and the endpoint all go through here.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import torch
from pydantic import TypeAdapter

from eagleray import tasks
from eagleray.data import clean
from eagleray.data.clean import Cleaner
from eagleray.data.encoder import length_of
from eagleray.errors import UserError
from eagleray.model import description
from eagleray.model.bases import Bases
from eagleray.serving import agreement
from eagleray.serving.agreement import Tolerance
from eagleray.serving.backends import onnx as onnx_backend
from eagleray.serving.backends import torch as torch_backend
from eagleray.serving.backends.base import Backend
from eagleray.spec.endpoint import BackendSpec, OnnxBackendSpec, TorchBackendSpec, VllmBackendSpec
from eagleray.spec.task import TaskSpec
from eagleray.store.lineage import GoldenRow
from eagleray.tasks import preprocessing
from eagleray.tasks.base import Batch, Row, Sample, Task
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.masked_lm import MaskedLm
from eagleray.tasks.multi_task import MultiTask
from eagleray.tasks.question_answering import QuestionAnswering
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.token_classification import TokenClassification
from eagleray.tasks.trained import Trained

BATCH_SIZE = 32
_ONE_BY_ONE = (CausalLm, MaskedLm, TokenClassification, QuestionAnswering, Seq2Seq, MultiTask)
_CHECKED_TOKENS = 16  # of a text: the first of them show whether the model is the same


class Loaded:
    """A model that answers. Several threads may read rows, also while another one answers."""

    def __init__(
        self,
        *,
        task: Task,
        tokenizer: Any,
        max_length: int,
        cleaner: Cleaner | None,
        backend: Backend,
        tolerance: Tolerance,
        device: torch.device,
        files: tuple[str, ...],
    ) -> None:
        self.task, self.tokenizer, self.max_length = task, tokenizer, max_length
        self._cleaner, self._files = cleaner, files
        self.backend, self.device = backend, device
        self._tolerance = tolerance
        # A fast tokenizer keeps the cut that the last call asked for, and raises where it is changed while another
        # thread uses it. This copy reads rows, under a lock; `tokenizer` is never told to cut and writes texts.
        self._reader = copy.deepcopy(tokenizer)
        self._reading = threading.Lock()

    @property
    def generates(self) -> bool:
        """Whether its answers are texts that it continues token by token."""
        return isinstance(self.task, CausalLm)

    @property
    def writes(self) -> bool:
        """Whether its answers are texts: each takes it as long as a thousand labels."""
        return isinstance(self.task, CausalLm | Seq2Seq)

    @property
    def can_be_averaged(self) -> bool:
        """Whether several models can answer as one: by probabilities of labels, or numbers."""
        return not isinstance(self.task, _ONE_BY_ONE)

    @property
    def is_chat(self) -> bool:
        """Whether it takes the assistant's part in conversations."""
        return isinstance(self.task, CausalLm) and self.task.format == "chat"

    @property
    def max_new_tokens(self) -> int:
        """How many tokens it adds to a text unless it is told otherwise; 0 where it does not generate."""
        return self.task.max_new_tokens if isinstance(self.task, CausalLm) else 0

    @property
    def trained(self) -> Trained:
        """Task, tokenizer and PyTorch's model. Raises UserError where another backend runs it."""
        if not isinstance(self.backend, torch.nn.Module):
            raise UserError("this needs the model in PyTorch: use `backend: {type: torch}`")
        return Trained(
            self.task, self.tokenizer, self.backend, self.max_length, self._cleaner, self.device, self._files
        )

    def on(self, backend: Backend, *, tolerance: Tolerance) -> Loaded:
        """The same model run by another backend, on the CPU."""
        return Loaded(
            task=self.task,
            tokenizer=self.tokenizer,
            max_length=self.max_length,
            cleaner=self._cleaner,
            backend=backend,
            tolerance=tolerance,
            device=torch.device("cpu"),
            files=self._files,
        )

    def read(self, raw: Mapping[str, Any]) -> Row:
        """One row, checked and cleaned. Raises ValueError: what is wrong with it."""
        return self.cleaned(self.task.read_input(raw))

    def cleaned(self, row: Row) -> Row:
        """A row with its texts as those were that the model learned from."""
        return row if self._cleaner is None else self._cleaner.row(row)

    def tokenise(self, rows: list[Row], *, max_length: int | None = None) -> list[Sample]:
        """Rows as samples; `full_length` of one that is more than `max_length` says that it was cut."""
        with self._reading:
            columns = self.task.encode(rows, self._reader, max_length or self.max_length)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def encode(self, raws: Iterable[Mapping[str, Any]]) -> list[Sample]:
        """Raw rows as samples. Raises ValueError: what is wrong with the first that cannot be read."""
        return self.tokenise([self.read(raw) for raw in raws])

    def answer(self, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer a sample, in their order, by one forward pass."""
        return self._answer(samples, task=self.task)

    def answer_all(self, samples: Sequence[Sample], *, batch_size: int = BATCH_SIZE) -> list[dict[str, Any]]:
        """The same in batches of samples of about the same length, so that little is padding."""
        return self._answer_all(samples, task=self.task, batch_size=batch_size)

    def check_golden(self, rows: Sequence[GoldenRow]) -> list[str]:
        """What it answers otherwise than when it was registered, one text a row."""
        task = self.task
        # Beam search looks back: cut short it may begin otherwise.
        if isinstance(task, CausalLm) or (isinstance(task, Seq2Seq) and task.num_beams == 1):
            task = replace(task, max_new_tokens=min(task.max_new_tokens, _CHECKED_TOKENS))
        samples = self.encode(row.input for row in rows)
        answers = self._answer_all(samples, task=task, batch_size=BATCH_SIZE)
        return agreement.differences([row.output for row in rows], answers, self._tolerance)

    def batch(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """Samples as the padded tensors that the model takes, on its device."""
        batch = self.task.collate(
            [dict(sample) for sample in samples],
            weights=np.ones(len(samples), dtype=np.float32),
            pad_id=int(self.tokenizer.pad_token_id),
            max_length=self.max_length,
        )
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _answer(self, samples: Sequence[Mapping[str, Any]], *, task: Task) -> list[dict[str, Any]]:
        with torch.inference_mode():
            return task.predict(self.backend, self.tokenizer, self.batch(samples))

    def _answer_all(self, samples: Sequence[Sample], *, task: Task, batch_size: int) -> list[dict[str, Any]]:
        # Longest first: too little memory shows at the first batch.
        order = sorted(range(len(samples)), key=lambda index: -length_of(samples[index]))
        answers: list[dict[str, Any]] = [{}] * len(samples)
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            for index, answer in zip(
                indices, self._answer([samples[index] for index in indices], task=task), strict=True
            ):
                answers[index] = answer
        return answers


def load(
    directory: Path, *, backend: BackendSpec, num_threads: int | None = None, bases: Bases | None = None
) -> Loaded:
    """Load a version from its files, as the registry keeps them.

    With `bases` PyTorch keeps an adapter apart from its base, which it shares with others of this process.
    `num_threads` are those of the model, for PyTorch those of all models of the process; None leaves it to the backend.

    Raises:
        ModelSourceError: files are missing or damaged, or the base model is gone or changed.
        UserError: this backend does not run such a model.
    """
    match backend:
        case TorchBackendSpec(dtype="bf16"):
            model = torch_backend.load(directory, dtype=torch.bfloat16, num_threads=num_threads, bases=bases)
            return of_trained(model, tolerance=agreement.ROUNDED)
        case TorchBackendSpec():
            return of_trained(torch_backend.load(directory, num_threads=num_threads, bases=bases))
        case OnnxBackendSpec():
            return _load_onnx(directory, precision=backend.precision, num_threads=num_threads)
        case VllmBackendSpec():
            raise UserError("backend.type vllm: Ray Serve loads such a model itself; here it is `torch` or `onnx`")
    assert_never(backend)


def of_trained(model: Trained, *, tolerance: Tolerance = agreement.EXACT) -> Loaded:
    """A model that PyTorch runs."""
    return Loaded(
        task=model.task,
        tokenizer=model.tokenizer,
        max_length=model.max_length,
        cleaner=model.cleaner,
        backend=model.model,
        tolerance=tolerance,
        device=model.device,
        files=model.files,
    )


def onnx_file(precision: str) -> str:
    """Where the ONNX file of a precision ("fp32", "int8") is among a version's files."""
    return f"onnx/model_{precision}.onnx"


def _load_onnx(directory: Path, *, precision: str, num_threads: int | None) -> Loaded:
    facts = description.read(directory)
    spec: TaskSpec = TypeAdapter[TaskSpec](TaskSpec).validate_json(json.dumps(facts.task))
    built = tasks.build(spec)
    tokenizer = preprocessing.load(built, source=str(directory), allow_remote_code=facts.base.allow_remote_code)
    return Loaded(
        task=tasks.ready(built, labels=facts.labels, tokenizer=tokenizer),
        tokenizer=tokenizer,
        max_length=facts.max_length,
        cleaner=clean.from_facts(facts.clean, spec.content.texts),
        backend=onnx_backend.load(directory / onnx_file(precision), num_threads=num_threads),
        tolerance=agreement.QUANTISED if precision == "int8" else agreement.EXACT,
        device=torch.device("cpu"),
        files=spec.content.files,
    )
