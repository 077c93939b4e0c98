"""Files that no server could speak TLS with are told of by their place in the document."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from eagleray.errors import UserError
from eagleray.serving import tls
from eagleray.spec.endpoint import TlsSpec
from tests.support.records import NOW


def _write(directory: Path, name: str, *, passphrase: bytes | None = None) -> TlsSpec:
    """A certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    (directory / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
    (directory / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    return TlsSpec(cert_file=str(directory / f"{name}.crt"), key_file=str(directory / f"{name}.key"))


def test_a_certificate_and_its_key_will_do(tmp_path: Path) -> None:
    tls.check(_write(tmp_path, "good"))


@pytest.mark.parametrize("key", ["cert_file", "key_file"])
def test_a_file_that_is_not_there(tmp_path: Path, key: str) -> None:
    good = _write(tmp_path, "good")
    missing = tmp_path / "nowhere.pem"
    with pytest.raises(UserError, match=rf"^endpoint\.tls\.{key}: {missing} cannot be read: No such file"):
        tls.check(good.model_copy(update={key: str(missing)}))
    with pytest.raises(UserError, match=rf"^endpoint\.tls\.{key}: {tmp_path} cannot be read: Is a directory"):
        tls.check(good.model_copy(update={key: str(tmp_path)}))


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    good, other = _write(tmp_path, "good"), _write(tmp_path, "other")
    hidden = _write(tmp_path, "hidden", passphrase=b"secret")
    (tmp_path / "text").write_text("no PEM")
    for update in (
        {"key_file": other.key_file},
        {"key_file": good.cert_file},
        {"cert_file": str(tmp_path / "text")},
        {"cert_file": hidden.cert_file, "key_file": hidden.key_file},
    ):
        with pytest.raises(UserError, match="are no certificate and its private key in PEM without a passphrase"):
            tls.check(good.model_copy(update=update))
