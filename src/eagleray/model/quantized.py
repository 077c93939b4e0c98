"""What is transformers told, so that it holds pretrained weights in four bits? Needs a GPU: no test has run it."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from eagleray.errors import UserError
from eagleray.spec.model import Nf4Spec


def options(spec: Nf4Spec | None) -> dict[str, Any]:
    """Return the options of `from_pretrained`; none where nothing is quantised.

    Raises:
        UserError: there is no GPU here, or no bitsandbytes.
    """
    if spec is None:
        return {}
    if not torch.cuda.is_available():
        raise UserError("model.quantization: nf4 needs a GPU, and this worker sees none: leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError("model.quantization: nf4 needs bitsandbytes: pip install bitsandbytes")
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type=spec.type,
        bnb_4bit_use_double_quant=spec.double,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}
