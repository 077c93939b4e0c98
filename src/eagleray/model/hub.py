"""Can the Hugging Face Hub be asked, or is only what was downloaded before at hand?"""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from huggingface_hub import constants

_TIMEOUT_S = 3.0


def is_reachable() -> bool:
    """Whether a connection to the hub opens within three seconds.

    Asked before every download, because the hub client itself retries for 23 s before it gives up. Behind a proxy only
    the client knows the way, so it is left to try.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    endpoint = urlsplit(constants.ENDPOINT)
    proxy = f"{endpoint.scheme}_proxy"
    if any(os.environ.get(name) for name in (proxy, proxy.upper(), "all_proxy", "ALL_PROXY")):
        return True
    port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
    try:
        socket.create_connection((endpoint.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def why_not() -> str:
    """What to say of a model that is not here and cannot be fetched."""
    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off (HF_HUB_OFFLINE is set) and the model was not downloaded before"
    return f"{constants.ENDPOINT} cannot be reached and the model was not downloaded before"
