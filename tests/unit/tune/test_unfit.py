"""What an error says of the configuration that it ended."""

from __future__ import annotations

import pytest
import torch
from ray.exceptions import ActorDiedError

from eagleray import errors
from eagleray.store.lease import LeaseHeld, LeaseLost
from eagleray.tune import unfit


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "unfit", id="gpu-memory"),
        pytest.param(
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            "unfit",
            id="memory",
        ),
        pytest.param(errors.OutOfMemory("worker 1 ran out of memory at a micro batch of 1"), "unfit", id="of-a-worker"),
        pytest.param(errors.NotFinite("the loss was nan for 3 steps"), "unfit", id="not-finite"),
        pytest.param(
            errors.DocumentError([errors.Finding("spec.scale.zero", "needs stage 1, 2 or 3")]), "unfit", id="refused"
        ),
        pytest.param(errors.ModelSourceError("no such model"), "unfit", id="refused-by-the-model"),
        pytest.param(errors.DataError("no sample is left"), "unfit", id="leaves-no-data"),
        pytest.param(errors.BadSamples("12 samples cannot be batched"), "failed", id="samples-of-any-configuration"),
        pytest.param(LeaseHeld("the run is driven by process 17"), None, id="its-last-process-may-live"),
        pytest.param(LeaseLost("a later attempt has the run"), None, id="lease-lost"),
        pytest.param(errors.StorageError("503"), None, id="storage"),
        pytest.param(errors.ClusterError("the cluster went away"), None, id="cluster"),
        pytest.param(errors.TrainingError("the workers are gone"), None, id="workers"),
        pytest.param(errors.PeerFailed("another worker failed"), None, id="a-peer"),
        pytest.param(ActorDiedError(), None, id="process"),
        pytest.param(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None, id="unknown"),
        pytest.param(ConnectionResetError(), None, id="network"),
    ],
)
def test_state_of(error: Exception, expected: str | None) -> None:
    assert unfit.state_of(error) == expected
