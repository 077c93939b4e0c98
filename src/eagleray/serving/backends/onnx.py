"""How does ONNX Runtime run a model?"""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from eagleray.errors import ModelSourceError
from eagleray.model.outputs import Output

_ERRORS_ALONE = 3  # else it warns of each GPU driver that it does not find


class OnnxModel:
    """A session as a model. Several threads may call it; each call uses the session's threads."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.names: tuple[str, ...] = tuple(entry.name for entry in session.get_inputs())
        """What it is called with."""

    def __call__(self, **inputs: torch.Tensor) -> Output:
        # Neither direction copies: the arrays are views of the tensors, and the tensor is one of the result.
        feed = {name: inputs[name].numpy() for name in self.names}
        return Output(torch.from_numpy(self._session.run(None, feed)[0]))


def load(file: Path, *, num_threads: int | None = None) -> OnnxModel:
    """Load an ONNX file; `num_threads` None takes a thread for each core.

    Raises:
        ModelSourceError: there is no such file, or it is damaged.
    """
    if not file.is_file():
        raise ModelSourceError(
            f"{file} is missing: the version was registered without ONNX files. "
            "Serve it with `backend: {type: torch}`"
        )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = num_threads or 0
    options.log_severity_level = _ERRORS_ALONE
    # A thread that waits for work by spinning takes the core from another replica.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return OnnxModel(onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]))
    except (
        runtime_errors.Fail,
        runtime_errors.InvalidArgument,
        runtime_errors.InvalidGraph,
        runtime_errors.InvalidProtobuf,
    ) as error:
        raise ModelSourceError(f"{file} cannot be loaded: {error}. Restore it, or register the run anew") from error
