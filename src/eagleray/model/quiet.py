"""Where does the chatter of transformers and the hub client go? To logging alone, never over the user's screen."""

from __future__ import annotations

import logging
import warnings

from transformers.utils import logging as transformers_logging

_LIBRARIES = ("transformers", "huggingface_hub")


def silence() -> None:
    """Take the libraries' own handlers and progress bars away; what they log reaches who listens to the root logger.

    The null handler keeps Python from printing warnings itself where nobody does. What a later transformers will drop
    is not told: other libraries call it. May be called any number of times.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = True
