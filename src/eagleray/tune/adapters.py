"""What Ray Tune calls, handed on to the board: it knows trials by ids of its own, the board by their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from eagleray.tune.board import WAIT, Board


class Asker(Searcher):
    """Tune's source of configurations."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # also FINISHED
        """Return the next trial, `FINISHED`, or None to be asked again."""
        proposed = self._board.propose()
        if proposed is None:
            return Searcher.FINISHED
        if proposed == WAIT:
            return None
        number, params = proposed
        return {"trial": number, "params": params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Leave it to the `Teller`, which is told why."""

    def save(self, checkpoint_path: str) -> None:
        """Leave it to the sweep's own log."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a sweep that goes on is a new one for Tune."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune writes down what it was started with, which nobody reads.
        return {}


class Teller(Callback):
    """Tells the board what trials report and how they end."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has told something."""
        self._board.reported(trial.config["trial"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial is over."""
        self._board.ended(trial.config["trial"], trial.last_result)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial's process was lost, and it is tried again."""
        self._board.restarted(trial.config["trial"], _why(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has failed too often."""
        self._board.failed(trial.config["trial"], _why(trial))

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Bound(Stopper):
    """Stops each trial at its next report once the sweep is over."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tell whether a trial has to stop."""
        return bool(self._board.over())

    def stop_all(self) -> bool:
        """Tell whether all have to stop at once."""
        return self._board.is_abandoned

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _why(trial: Trial) -> str:
    """The line of a trial's failure that says what it was."""
    file = Path(trial.error_file or "")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "its process was lost"
