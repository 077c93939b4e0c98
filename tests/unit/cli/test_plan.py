"""`eagleray plan` tells what a run takes; `--document` prints the resolved document with the origin of each value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eagleray.cli import app
from eagleray.spec import document
from tests.support import documents, tiny_models, training


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "jobs" / "a.yaml"
    path.parent.mkdir()
    path.write_text(documents.text(data="{train: a.csv, keep: {a.b: [x]}}"), encoding="utf-8")
    return path


def test_output_is_a_document_that_loads_as_the_same_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        app.main(
            [
                "plan",
                str(file),
                "--document",
                "--set",
                'task.labels=[a, "no", "1"]',
                "--set",
                'task.label_separator="\\n"',
            ]
        )
        == 0
    )

    printed = document.loads(capsys.readouterr().out, source="printed").document
    assert printed.spec.data.train == str(file.parent / "a.csv")
    assert printed.spec.task.model_dump()["labels"] == ("a", "no", "1")
    assert printed.spec.task.model_dump()["label_separator"] == "\n"


def test_origins_stand_in_one_column_within_80(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        app.main(["plan", str(file), "--document", "--set", "train.seed=3", "--storage", "s3://bucket/" + "x" * 60])
        == 0
    )

    lines = capsys.readouterr().out.splitlines()
    origins = [line for line in lines if "# " in line]
    assert {line.index("# ") for line in origins} == {60}
    assert all(len(line) <= 80 for line in origins)
    assert "    seed: 3".ljust(60) + "# --set" in lines
    assert "    epochs: 3".ljust(60) + "# default" in lines
    assert "kind: FineTune".ljust(60) + "# line 2" in lines
    assert "      a.b: [x]".ljust(60) + "# line 7" in lines
    # What does not fit goes below its key.
    position = lines.index("  storage:".ljust(60) + "# --storage")
    assert lines[position + 1] == "    s3://bucket/" + "x" * 60


def test_long_lists_are_written_one_entry_a_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [f"a-rather-long-label-{number}" for number in range(5)]

    assert app.main(["plan", str(file), "--document", "--set", f"task.labels=[{', '.join(labels)}]"]) == 0

    lines = capsys.readouterr().out.splitlines()
    position = lines.index("    labels:".ljust(60) + "# --set")
    assert lines[position + 1 : position + 6] == [f"      - {label}" for label in labels]


@pytest.mark.parametrize(
    ("option", "environment", "storage", "kind"),
    [
        pytest.param(["--storage", "x"], "y", "x", "--storage", id="option"),
        pytest.param([], "y", "y", "EAGLERAY_STORAGE", id="environment"),
        pytest.param([], "", "runs", "default", id="default"),
    ],
)
def test_json(
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
    environment: str,
    storage: str,
    kind: str,
) -> None:
    monkeypatch.setenv("EAGLERAY_STORAGE", environment)

    assert app.main(["plan", str(file), "--document", "--json", *option]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == str(file)
    assert facts["document"]["spec"]["storage"] == str(Path.cwd() / storage)
    assert facts["origins"]["spec.storage"] == {"kind": kind, "line": None}
    assert facts["origins"]["spec.model.source"] == {"kind": "document", "line": 5}


def test_nothing_is_written(file: Path, tmp_path: Path) -> None:
    assert app.main(["plan", str(file), "--document"]) == 0

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_wrong_document(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(file), "--document", "--set", "train.seed=x"]) == 2

    out, err = capsys.readouterr()
    assert (out, err.startswith("error: --set: spec.train.seed: expected a whole number")) == ("", True)


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document of a tiny model and a few reviews."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    model = tiny_models.save_encoder(tmp_path / "model")
    training.write_reviews(tmp_path / "reviews.jsonl", num_rows=70)
    path = tmp_path / "a.yaml"
    path.write_text(document.dump(training.document(model, tmp_path / "reviews.jsonl")), encoding="utf-8")
    return path


def test_estimate(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(real), "--set", "scale.zero.stage=3"]) == 0

    out = capsys.readouterr().out
    assert "of them learn (100.00%)" in out
    assert "7, 7 an epoch" in out
    assert "--probe measures it" in out
    assert "> 3" in out
    assert "scale.zero.stage 0 is enough" in out
    assert max(map(len, out.splitlines())) <= 80
    assert not (tmp_path / "runs").exists()


def test_estimate_as_json(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(real), "--json"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == str(real)
    assert facts["document"]["spec"]["train"]["epochs"] == 1
    assert facts["estimate"]["length"]["total_steps"] == 7
    assert [way["zero"]["stage"] for way in facts["estimate"]["memory"]] == [0, 1, 2, 3]
    assert (facts["measured"], facts["price"], facts["misfit"]) == (None, None, "")


def test_more_workers_than_fit(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(real), "--set", "scale.cpus_per_worker=1000"]) == 0

    assert "It does not fit: scale.num_workers: 1 workers of 1000 CPUs" in " ".join(capsys.readouterr().out.split())


def test_a_probe_of_what_does_not_fit(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(real), "--set", "scale.cpus_per_worker=1000", "--probe"]) == 2

    assert "error: --probe: scale.num_workers: 1 workers of 1000 CPUs" in capsys.readouterr().err


def test_unknown_accelerator(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("H100: 2.9\n", encoding="utf-8")

    assert app.main(["plan", str(real), "--prices", str(prices)]) == 2

    assert f"error: --prices {prices}: it has no cpu, only H100" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--document", "--probe"], ["--preflight", "--document"], ["--probe", "--preflight"]],
    ids=lambda options: "".join(options),
)
def test_what_excludes_each_other(file: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert app.main(["plan", str(file), *options]) == 2

    assert "--document, --preflight and --probe exclude each other" in capsys.readouterr().err
