"""Which tasks, methods and ZeRO stages are tried together, on which tiny models, and the page that says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eagleray.spec.finetune import FineTune
from eagleray.spec.task.not_offered import NOT_OFFERED
from tests.support import matrix_sources, training
from tests.support.matrix_sources import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "support-matrix.md"
STAGES = (0, 1, 2, 3)
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"type": "full"},
    "freeze: all but the head": {"type": "freeze"},
    "freeze: bottom layers": {"type": "freeze", "bottom_layers": 1},
    "freeze: thaw": {"type": "freeze", "thaw": 0.5},
    "freeze: cached features": {"type": "freeze", "cache_features": True},
    "lora": {"type": "lora", "rank": 2},
    "lora: rank-stabilised": {"type": "lora", "rank": 2, "rank_stabilized": True},
    "lora: decomposed": {"type": "lora", "rank": 2, "decomposed": True},
    "ia3": {"type": "ia3"},
    "p_tuning_v2": {"type": "p_tuning_v2", "num_virtual_tokens": 4},
    "prompt_tuning": {"type": "prompt_tuning", "num_virtual_tokens": 4},
}
"""A line a way to learn: every method, and those options that change how weights are held."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of the matrix."""

    task: str
    variant: str
    stage: int

    def __str__(self) -> str:
        return f"{self.task}, {self.variant}, stage {self.stage}"


def cases() -> Iterator[Case]:
    """Every cell, row by row."""
    return (Case(task, variant, stage) for task in TASKS for variant in VARIANTS for stage in STAGES)


def document(case: Case, folder: Path, *, num_workers: int) -> FineTune:
    """A run of a few steps on what `matrix_sources.write` has written to `folder`."""
    model, rows, sections = matrix_sources.sections(case.task, folder)
    return training.document(
        model,
        rows,
        **sections,
        method=VARIANTS[case.variant],
        train={"micro_batch_size": 4, "learning_rate": 0.3, "optimizer": {"type": "sgd"}, "weight_decay": 0.0},
        scale={"num_workers": num_workers, "zero": {"stage": case.stage}},
    )


def refusal(case: Case) -> str | None:
    """Why a document with these is refused; None where it is not."""
    try:
        document(case, Path("sources"), num_workers=2)
    except ValidationError as error:
        return "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
    return None


def page() -> str:
    """`docs/support-matrix.md`: a table a task; a number where a document is refused, with its reason below."""
    reasons: dict[str, int] = {}
    lines = [
        "# Which task learns by which method at which ZeRO stage",
        "",
        "Written by `python -m tests.support.support_matrix`. Each ✓ is a run of two workers in",
        "`tests/gloo/test_support_matrix.py`, whose losses are those of one worker at stage 0. A number says why",
        "`eagleray plan` refuses the document. [Methods](methods.md) says what each method does.",
    ]
    for task in TASKS:
        lines += ["", f"## {task}", "", f"| method | {' | '.join(f'stage {stage}' for stage in STAGES)} |"]
        lines += [f"|---|{'---|' * len(STAGES)}"]
        for variant in VARIANTS:
            refusals = [refusal(Case(task, variant, stage)) for stage in STAGES]
            marks = ["✓" if why is None else f"{reasons.setdefault(why, len(reasons) + 1)}" for why in refusals]
            lines.append(f"| {variant} | {' | '.join(marks)} |")
    if reasons:
        lines += ["", "## Refused", "", *(f"{number}. {why}" for why, number in reasons.items())]
    lines += ["", "## Not offered", "", *(f"- `{name}`: {why}." for name, why in NOT_OFFERED.items())]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
