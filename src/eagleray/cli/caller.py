"""Who gives a command?"""

from __future__ import annotations

import getpass
import os
import socket


def caller() -> str:
    """`user@host`, for the history of what a command changes."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
