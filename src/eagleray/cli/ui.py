"""`eagleray ui`: a page that shows what is on a storage."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.spec.endpoint import TlsSpec


def ui(
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes one that is free.", min=0, max=65535)] = 8270,
    auth: Annotated[bool, typer.Option("--auth", help="Ask for a key on a loopback address, too.")] = False,
    keys_file: Annotated[
        Path | None,
        typer.Option("--keys-file", metavar="FILE", help="Take the keys from this file, not from the storage."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="HTTPS: the certificate chain, in PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="HTTPS: its private key, in PEM.")
    ] = None,
    log_format: LogFormat = None,
) -> None:
    """Show runs, sweeps, models and endpoints of a storage as a web page that only reads, until Ctrl-C.

    On 127.0.0.1 it answers this machine without a key. On another address it asks for an API key with the scope admin
    (`eagleray keys create NAME --scope admin`).

    \b
    Examples:
      eagleray ui
      eagleray ui --storage s3://bucket/runs --port 9000
      eagleray ui --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    """
    objects, files = storages.open_there(storage), _tls(tls_cert, tls_key)

    from eagleray.store.key_homes import FileKeys, StoredKeys
    from eagleray.ui import server

    home = FileKeys(keys_file) if keys_file else StoredKeys(objects)
    server.serve(
        objects,
        home,
        host=host,
        port=port,
        asks_for_key=auth,
        files=files,
        say=partial(printing.say, err=True),
    )


def _tls(cert: Path | None, key: Path | None) -> TlsSpec | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UserError("--tls-cert and --tls-key go together: give both, or neither")
    from eagleray.spec.endpoint import TlsSpec

    return TlsSpec(cert_file=str(cert), key_file=str(key))
