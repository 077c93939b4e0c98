"""How does a run in a pod tell the cluster how far it is? By one request, with the account of its pod.

Without the package `kubernetes`: the image of a worker does not have it.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from eagleray.errors import ClusterError, UserError

VARIABLE: Final = "EAGLERAY_PROGRESS"
MANAGER: Final = "eagleray-run"
TIMEOUT_S: Final = 10.0
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Account:
    """Where the API server is, and as whom it is asked. The token is read anew each time: it is changed every hour."""

    url: str
    token_file: Path
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class Board:
    """The ConfigMap that a run may write, and no other."""

    account: Account
    namespace: str
    name: str

    def write(self, data: Mapping[str, str]) -> None:
        """Have it say this. Raises ClusterError."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "data": dict(data),
        }
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}?fieldManager={MANAGER}&force=true"
        try:
            headers = {
                "Authorization": f"Bearer {self.account.token_file.read_text().strip()}",
                "Content-Type": "application/apply-patch+yaml",
            }
            request = Request(self.account.url + path, json.dumps(body).encode(), headers, method="PATCH")
            with urlopen(request, timeout=TIMEOUT_S, context=_tls(self.account)) as answer:
                answer.read()
        except HTTPError as error:
            with error:
                raise ClusterError(f"ConfigMap {self.name}: {_message(error)}") from error
        except (OSError, HTTPException) as error:
            raise ClusterError(f"ConfigMap {self.name}: the Kubernetes API server does not answer: {error}") from error


def board(environment: Mapping[str, str] = os.environ) -> Board | None:
    """The ConfigMap that EAGLERAY_PROGRESS names; None where it names none. Raises UserError."""
    named = environment.get(VARIABLE)
    if not named:
        return None
    namespace, slash, name = named.partition("/")
    if not slash or not namespace or not name or "/" in name:
        raise UserError(f"{VARIABLE} is {named!r}: give NAMESPACE/NAME of a ConfigMap, or unset it")
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise UserError(f"{VARIABLE} is set and this is no pod of a cluster: unset it")
    address = f"[{host}]" if ":" in host else host
    account = Account(f"https://{address}:{port}", _ACCOUNT / "token", _ACCOUNT / "ca.crt")
    return Board(account, namespace, name)


def _tls(account: Account) -> ssl.SSLContext | None:
    return None if account.ca_file is None else ssl.create_default_context(cafile=account.ca_file)


def _message(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["message"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return str(error)
