from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import turns


def test_contenders_are_asked_in_turn() -> None:
    asked: list[tuple[str, int]] = []

    def taker(name: str) -> turns.Taker:
        def take(number: int) -> dict[str, float]:
            asked.append((name, number))
            return {"seconds": float(number)}

        return take

    figures = turns.take({"ours": taker("ours"), "peer": taker("peer")}, rounds=2)

    assert asked == [("ours", 1), ("peer", 1), ("ours", 2), ("peer", 2)]
    assert figures == {"ours": {"seconds": [1.0, 2.0]}, "peer": {"seconds": [1.0, 2.0]}}


def test_figures_are_handed_on_and_held_against_the_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    arguments = turns.parser("A script.", rounds=3).parse_args(["--json", str(out)])
    figures = {"ours": {"blocked_s": [0.1]}, "synchronous": {"blocked_s": [1.0]}}

    turns.finish("bench/checkpoints.py", figures, arguments, rate=20)

    assert json.loads(out.read_text(encoding="utf-8")) == {"figures": figures, "raw": {"rate": 20}}
    assert "synchronous DeepSpeed save and upload: 0.100" in capsys.readouterr().out


def test_a_command_that_fails_ends_the_script_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="out of luck"):
        turns.run(["sh", "-c", "echo out of luck; exit 3"], tmp_path / "log", environment={})
