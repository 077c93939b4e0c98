"""Can a server speak TLS with these files?"""

from __future__ import annotations

import ssl
from pathlib import Path

from eagleray.errors import UserError
from eagleray.spec.endpoint import TlsSpec


def check(tls: TlsSpec) -> None:
    """Raise UserError for files that Ray Serve's proxies could not speak TLS with."""
    for key in ("cert_file", "key_file"):
        path = getattr(tls, key)
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"endpoint.tls.{key}: {path} cannot be read: {error.strerror}") from error
    try:
        # A proxy could not ask for a passphrase, nor may this.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.cert_file, tls.key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        raise UserError(
            f"endpoint.tls: {tls.cert_file} and {tls.key_file} are no certificate and its private key in PEM without a "
            f"passphrase: {error}"
        ) from error
