from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import results, turns
from bench.__main__ import Order, command_of, holding, work
from bench.figures import Demand
from bench.rows import Row

FIGURES = {"ours": {"seconds": [1.0, 2.0]}, "peer": {"seconds": [4.0, 4.0]}}
Run = Callable[[list[str], Path], int]


def row(name: str, *arguments: str, quick: tuple[str, ...] | None = None) -> Row:
    demand = Demand("peer", "ours.seconds", "peer.seconds", at_most=0.5)
    return Row(name, f"row {name}", "script", "data", "1", "torch", (demand,), 1.0, arguments, quick=quick)


def runs(ran: list[str], *, failing: tuple[str, ...] = (), skipping: str = "", interrupted: str = "") -> Run:
    """A run that writes figures, and notes what was run."""

    def run(command: list[str], log: Path) -> int:
        name = log.stem
        if name == interrupted:
            raise KeyboardInterrupt
        ran.append(name)
        if name in failing:
            return 1
        if name == skipping:
            log.write_text("looking\nthis CPU has no such thing\n", encoding="utf-8")
            return turns.SKIPPED
        out = Path(command[command.index("--json") + 1])
        out.write_text(json.dumps({"figures": FIGURES, "raw": {"steps": 3}}), encoding="utf-8")
        return 0

    return run


def test_what_was_run_is_kept_and_not_run_again(tmp_path: Path) -> None:
    order, ran = Order((row("a"), row("b"))), []

    assert work(order, tmp_path, run=runs(ran)) == []
    assert work(order, tmp_path, run=runs(ran)) == []

    assert ran == ["a", "b"]
    kept = results.read(tmp_path)["a"]
    assert kept.figures == FIGURES
    assert kept.raw == {"steps": 3}
    assert kept.fingerprint == results.fingerprint()


def test_a_row_is_run_again_where_that_is_asked(tmp_path: Path) -> None:
    ran: list[str] = []
    work(Order((row("a"), row("b"))), tmp_path, run=runs(ran))

    work(Order((row("a"), row("b")), again=frozenset({"b"})), tmp_path, run=runs(ran))

    assert ran == ["a", "b", "b"]


def test_another_command_or_source_is_run_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    work(Order((row("a"),)), tmp_path, run=runs(ran))
    work(Order((row("a"),), rounds=7), tmp_path, run=runs(ran))
    monkeypatch.setattr(results, "_git", lambda *words: "another")

    work(Order((row("a"),), rounds=7), tmp_path, run=runs(ran))

    assert ran == ["a", "a", "a"]


def test_a_row_that_fails_does_not_end_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[str] = []

    failed = work(Order((row("a"), row("b"))), tmp_path, run=runs(ran, failing=("a",)))

    assert failed == ["a"]
    assert list(results.read(tmp_path)) == ["b"]
    assert f"a: FAILED, see {tmp_path / 'a'}.log" in capsys.readouterr().out


def test_a_row_that_this_machine_cannot_run_is_skipped_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    assert work(Order((row("a"), row("b"))), tmp_path, run=runs(ran, skipping="a")) == []

    assert list(results.read(tmp_path)) == ["b"]
    assert "a: skipped: this CPU has no such thing\n" in capsys.readouterr().out


def test_an_interrupt_keeps_finished_rows(tmp_path: Path) -> None:
    ran: list[str] = []
    order = Order((row("a"), row("b"), row("c")))
    with pytest.raises(KeyboardInterrupt):
        work(order, tmp_path, run=runs(ran, interrupted="b"))

    work(order, tmp_path, run=runs(ran))

    assert ran == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "order", "words"),
    [
        pytest.param(row("a"), Order(()), [], id="as the row has it"),
        pytest.param(row("a"), Order((), rounds=2), ["--rounds", "2"], id="other rounds"),
        pytest.param(
            row("a", "--rounds", "3", "--rows", "9"),
            Order((), rounds=1),
            ["--rounds", "1", "--rows", "9"],
            id="other rounds than its own",
        ),
        pytest.param(row("a", quick=("--rows", "9")), Order((), is_quick=True), ["--rows", "9"], id="quick"),
    ],
)
def test_command_of_a_row(given: Row, order: Order, words: list[str]) -> None:
    assert command_of(given, order) == ["python", "bench/script.py", *words]


def test_main_says_by_its_status_that_a_row_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "--quick"])
    monkeypatch.setattr(bench, "run", runs([], failing=("train",)))

    assert bench.main() == 1
    assert "train" not in results.read(tmp_path / "quick")


def test_quick_runs_the_quick_rows_and_writes_nothing_to_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "DOCS", tmp_path / "docs")
    monkeypatch.setattr("sys.argv", ["bench", "--quick"])
    monkeypatch.setattr(bench, "run", runs(ran))

    assert bench.main() == 0
    assert ran == [each.name for each in bench.ROWS if each.quick is not None]
    assert not (tmp_path / "docs").exists()


def test_figures_of_an_older_source_are_not_written_to_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = bench.ROWS[:2]
    work(Order(chosen), tmp_path, run=runs([]))
    assert set(holding(Order(chosen), tmp_path)) == {each.name for each in chosen}

    monkeypatch.setattr(results, "digest", lambda: "another")
    work(Order(chosen[:1]), tmp_path, run=runs([]))

    assert list(holding(Order(chosen), tmp_path)) == [chosen[0].name]


def test_main_writes_table_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    page = f"before\n{bench.page.BEGIN}\nSTALE\n{bench.page.END}\nafter\n"
    (docs / "benchmarks.md").write_text(page, encoding="utf-8")
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "DOCS", docs)
    monkeypatch.setattr("sys.argv", ["bench", "--only", "train"])
    monkeypatch.setattr(bench, "run", runs([]))

    assert bench.main() == 0

    text = (docs / "benchmarks.md").read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "samples/s, mixed lengths, 1 worker" in text
    assert "STALE" not in text
    assert bench.page.load(docs / "benchmarks.json")["train"].figures == FIGURES
