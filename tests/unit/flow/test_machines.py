"""What a machine says about itself, and what is made of it. On real nodes: tests/ray/test_nodes.py."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from ray.exceptions import RayError

from eagleray.errors import UserError
from eagleray.flow import machines
from eagleray.flow.findings import Finding
from eagleray.flow.machines import Look, examine, judged, look
from eagleray.spec.finetune import FineTune
from eagleray.store.objects import open_storage
from tests.support import tiny_models
from tests.support.training import document, write_reviews


@pytest.fixture
def job(tmp_path: Path) -> FineTune:
    model = tiny_models.save_encoder(tmp_path / "model", dropout=0.0)
    write_reviews(tmp_path / "reviews.jsonl", num_rows=20)
    return document(model, tmp_path / "reviews.jsonl")


def findings(job: FineTune, storage: Path) -> dict[str, Finding]:
    with ExitStack() as stack:
        found = list(examine(job, open_storage(str(storage)), storage=str(storage), stack=stack))
    return {each.what: each for each in found}


def test_a_machine_that_has_all(job: FineTune, tmp_path: Path) -> None:
    found = findings(job, tmp_path / "storage")

    assert {name: each.state for name, each in found.items()} == {
        f"this machine: {what}": "ok" for what in ("spec.storage", "model and data", "shared memory", "cache")
    }
    assert list((tmp_path / "storage").iterdir()) == [], "looking leaves nothing behind"


def test_a_storage_of_its_own(job: FineTune, tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (mine, *_) = look(job.spec, str(tmp_path / "node"), ".probe").findings
    assert (mine.state, mine.what) == ("error", "spec.storage")
    assert "not what others write" in mine.seen
    (absent, *_) = look(job.spec, str(tmp_path / "absent"), ".probe").findings
    assert absent.state == "error"
    assert "s3://" in absent.remedy


def test_data_that_is_gone(job: FineTune, tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").unlink()
    found = findings(job, tmp_path / "storage")["this machine: model and data"]
    assert found.state == "error"
    assert "reviews.jsonl" in found.seen
    with pytest.raises(UserError, match=r"reviews\.jsonl"):
        machines.raise_errors([found])


HERE = Look(1000.0, {"python": "3.12", "eagleray": "0.1", "ray": "2.60", "torch": "2.13"}, ())


@pytest.mark.parametrize(
    ("at", "torch", "states"),
    [
        pytest.param(1001.0, "2.13", {"versions": "ok"}, id="like-here"),
        pytest.param(1064.0, "2.13", {"versions": "ok", "clock": "warning"}, id="fast"),
        pytest.param(940.0, "2.13", {"versions": "ok", "clock": "warning"}, id="slow"),
        pytest.param(1001.0, "2.12", {"versions": "error"}, id="another-torch"),
    ],
)
def test_another_node(at: float, torch: str, states: dict[str, str]) -> None:
    seen = Look(at, {**HERE.versions, "torch": torch}, ())
    found = list(judged("10.0.0.2", seen, HERE, asked=(1000.0, 1004.0)))
    assert {each.what.removeprefix("10.0.0.2: "): each.state for each in found} == states
    if "clock" in states:
        assert "60 s off" in found[-1].seen
    if states["versions"] == "error":
        assert found[0].seen == "torch is 2.12, here 2.13"


def test_a_node_that_cannot_run_it() -> None:
    (found,) = judged("10.0.0.2", RayError("ModuleNotFoundError: eagleray"), HERE, asked=(1000.0, 1004.0))
    assert found.state == "error"
    assert "ModuleNotFoundError" in found.seen
