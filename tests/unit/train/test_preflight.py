"""What is refused before anything is started: a model or data that is not there, more workers than fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import DataError, ModelSourceError, UserError
from eagleray.spec.finetune import FineTune
from eagleray.store.objects import open_storage
from eagleray.train import preflight
from tests.support import tiny_models
from tests.support.training import document, write_reviews


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    write_reviews(path, num_rows=4)
    return path


def check(wanted: FineTune) -> None:
    preflight.check(wanted.spec, open_storage("memory://"))


def test_what_is_there_passes(model: Path, data: Path) -> None:
    check(document(model, data, data={"test": str(data), "validation": {"file": str(data)}}))


@pytest.mark.parametrize(
    "section",
    [{"train": "{missing}"}, {"test": "{missing}"}, {"validation": {"file": "{missing}"}}],
    ids=["train", "test", "validation"],
)
def test_missing_data(model: Path, data: Path, tmp_path: Path, section: dict[str, Any]) -> None:
    there = json.loads(json.dumps(section).replace("{missing}", str(tmp_path / "gone.jsonl")))

    with pytest.raises(DataError, match=r"gone\.jsonl"):
        check(document(model, data, data=there))


def test_model_without_weights(data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")

    with pytest.raises(ModelSourceError, match="no weights"):
        check(document(tmp_path, data))


def test_pickled_model(data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")

    with pytest.raises(ModelSourceError, match="allow_pickle"):
        check(document(tmp_path, data))
    check(document(tmp_path, data, model={"source": str(tmp_path), "allow_pickle": True}))


def test_model_that_brings_code(model: Path, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for file in model.iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    config = json.loads((own / "config.json").read_text(encoding="utf-8"))
    (own / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "own.Own"}}), encoding="utf-8")

    with pytest.raises(ModelSourceError, match="allow_remote_code"):
        check(document(own, data))


def test_more_workers_than_this_machine_holds(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    with pytest.raises(UserError, match="num_workers"):
        check(document(model, data, scale={"num_workers": 1, "cpus_per_worker": 10_000}))
