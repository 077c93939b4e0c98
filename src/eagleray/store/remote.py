"""How a storage on S3, Google Cloud Storage or Azure is opened: options of the environment, time limits, retries."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError, GenericError
from obstore.store import from_url

from eagleray.errors import StorageError
from eagleray.store import refusals

ENVIRONMENT = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""The schemes, and how the names of their variables begin."""

# An endpoint that does not answer is an error within 20 s: 4 connection attempts of 4 s each and the waits between.
# obstore's own defaults (10 retries within 3 minutes) look like a hang at the start of a run.
_RETRIES: Any = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=15),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=2), "base": 2},
}
_CLIENT_DEFAULTS = {"connect_timeout": "4s", "timeout": "30s"}
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "connect_timeout", "timeout", "proxy_url")


def open_store(uri: str, scheme: str) -> Any:
    """The obstore store of a URI; nothing is asked of the server yet. Raises StorageError."""
    # Options given in code replace the client options that obstore reads from the environment (AWS_ALLOW_HTTP among
    # them), so these are read here. Keys, regions and endpoints it still reads itself.
    client: Any = dict(_CLIENT_DEFAULTS)
    for option in _CLIENT_OPTIONS:
        value = os.environ.get(f"{ENVIRONMENT[scheme]}_{option.upper()}")
        if value:
            client[option] = value
    try:
        return from_url(uri, client_options=client, retry_config=_RETRIES)
    except (GenericError, BaseError, OSError, ValueError) as error:
        raise StorageError(f"{uri}: cannot open: {refusals.explain(error)}") from error
