"""How does PyTorch run a model?"""

from __future__ import annotations

from pathlib import Path

import torch

from eagleray.model.bases import Bases
from eagleray.tasks import trained
from eagleray.tasks.trained import Trained


def load(
    directory: Path,
    *,
    dtype: torch.dtype = torch.float32,
    num_threads: int | None = None,
    bases: Bases | None = None,
) -> Trained:
    """Load an exported model, onto the GPU where there is one; with `bases` an adapter shares its base with others.

    `num_threads` holds for all models of this process; None leaves what there is.

    Raises:
        ModelSourceError: there is no such model, or its base is gone or changed.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return trained.load(directory, device=device, dtype=dtype, bases=bases)
