"""Paths of a document mean the same wherever a command was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.errors import UserError
from eagleray.spec import document, locations
from eagleray.spec.finetune import FineTune
from tests.support import documents

SECRET = "verysecret"
KEYS = [
    pytest.param("s3://AKIA:verysecret@bucket/x", id="password"),
    pytest.param("s3://AKIA:ab/verysecret@bucket/x", id="password-with-a-slash"),
    pytest.param("s3://AKIA:ab?verysecret@bucket/x", id="password-with-a-question-mark"),
    pytest.param("s3://AKIA:ab@cd/verysecret@bucket/x", id="password-with-an-at"),
    pytest.param("s3://AKIA%3Averysecret%40bucket/x", id="password-escaped"),
    pytest.param("s3://b/x?AWSAccessKeyId=AKIA&Signature=verysecret", id="signed-as-of-old"),
    pytest.param("s3://b/x?a=1&x-amz-signature=verysecret", id="aws-in-small-letters"),
    pytest.param("gs://b/x?X-Goog-Signature=verysecret", id="google"),
    pytest.param("az://c@acc/x?sig=verysecret", id="azure-with-an-account"),
    pytest.param("az://c/x?sig=very@verysecret", id="signature-with-an-at"),
    pytest.param("az://c/x?%73ig=verysecret", id="escaped"),
]
BASE = Path("/jobs/films")


def _absolute(base: Path = BASE, **sections: str) -> FineTune:
    return locations.absolute(document.loads(documents.text(**sections), source="a.yaml").document, base)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("data/a.csv", "/jobs/films/data/a.csv", id="relative"),
        pytest.param("./a.csv", "/jobs/films/a.csv", id="dot"),
        pytest.param("../a.csv", "/jobs/films/../a.csv", id="parent"),
        pytest.param("/data/a.csv", "/data/a.csv", id="absolute"),
        pytest.param("data/*.csv.gz", "/jobs/films/data/*.csv.gz", id="glob"),
        pytest.param("pkg://a/b.csv", "pkg://a/b.csv", id="package"),
        pytest.param("hub://owner/name#train", "hub://owner/name#train", id="hub"),
        pytest.param("s3://bucket/a.csv", "s3://bucket/a.csv", id="s3"),
        pytest.param("~/a.csv", "/home/someone/a.csv", id="home"),
    ],
)
def test_data(monkeypatch: pytest.MonkeyPatch, written: str, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/someone")

    data = _absolute(data=f'{{train: "{written}", test: "{written}", validation: {{file: "{written}"}}}}').spec.data

    assert (data.train, data.test, data.validation.file) == (expected, expected, expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("owner/name", "owner/name", id="hub-id"),
        pytest.param("gpt2", "gpt2", id="old-hub-id"),
        pytest.param("owner/here", "{base}/owner/here", id="directory-that-looks-like-a-hub-id"),
        pytest.param("./owner/name", "{base}/owner/name", id="dot-is-a-path"),
        pytest.param("../name", "{base}/../name", id="parent-is-a-path"),
        pytest.param("a/b/c", "{base}/a/b/c", id="three-parts-are-a-path"),
        pytest.param("models/a.gguf", "{base}/models/a.gguf", id="file"),
        pytest.param("pkg://a/model", "pkg://a/model", id="package"),
        pytest.param("/models/a", "/models/a", id="absolute"),
    ],
)
def test_model(tmp_path: Path, written: str, expected: str) -> None:
    (tmp_path / "owner" / "here").mkdir(parents=True)

    source = _absolute(tmp_path, model=f'{{source: "{written}"}}').spec.model.source

    assert source == expected.format(base=tmp_path)


def test_absolute_changes_nothing_else() -> None:
    text = documents.text(model="{source: /m}", data="{train: /a.csv}", storage="s3://b", train="{seed: 7}")
    before = document.loads(text, source="a.yaml").document

    assert locations.absolute(before, BASE) == before


@pytest.mark.parametrize(
    ("option", "environment", "written", "uri", "origin"),
    [
        pytest.param("a", "b", "c", "/now/a", "--storage", id="option"),
        pytest.param(None, "b", "c", "/now/b", "EAGLERAY_STORAGE", id="environment"),
        pytest.param(None, None, "c", "/jobs/films/c", "line 8", id="document"),
        pytest.param(None, "", "c", "/jobs/films/c", "line 8", id="empty-environment"),
        pytest.param(None, None, "", "/now/runs", "default", id="default"),
        pytest.param("s3://x/y", "b", "c", "s3://x/y", "--storage", id="uri"),
        pytest.param("/x", "b", "c", "/x", "--storage", id="absolute"),
    ],
)
def test_storage(option: str | None, environment: str | None, written: str, uri: str, origin: str) -> None:
    loaded = document.loads(documents.text(storage=written), source="/jobs/films/a.yaml")

    resolved = locations.resolve(loaded, option=option, environment=environment, current=Path("/now"))

    assert resolved.document.spec.storage == uri
    assert str(resolved.origins["spec.storage"]) == origin


def test_storage_without_a_document() -> None:
    uri, origin = locations.storage(option=None, environment=None, current=Path("/now"))

    assert (uri, str(origin)) == ("/now/runs", "default")


def test_storage_set_by_override_is_read_against_the_document() -> None:
    loaded = document.loads(documents.text(), source="/jobs/a.yaml", overrides=["storage=here"])

    uri, origin = locations.storage(loaded, option=None, environment=None, current=Path("/now"))

    assert (uri, str(origin)) == ("/jobs/here", "--set")


def test_document_named_relative_to_the_current_directory() -> None:
    loaded = document.loads(documents.text(), source="films/a.yaml")

    resolved = locations.resolve(loaded, option=None, environment=None, current=Path("/now"))

    assert resolved.document.spec.data.train == "/now/films/data/train.jsonl"


def test_empty_storage_option() -> None:
    with pytest.raises(UserError, match="--storage is empty"):
        locations.storage(option="", environment=None, current=Path("/now"))


@pytest.mark.parametrize("storage", KEYS)
def test_a_storage_with_a_key_is_refused_and_not_repeated(storage: str) -> None:
    with pytest.raises(UserError, match="must hold no keys") as raised:
        locations.check_holds_no_keys(storage)

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "storage",
    ["s3://bucket/a:b/c@d", "az://c@acc/x", "./a:b/c@d?sig=1", "s3://bucket/x?region=eu", "file:///a:b@c", "memory://"],
)
def test_a_storage_without_a_key(storage: str) -> None:
    locations.check_holds_no_keys(storage)
