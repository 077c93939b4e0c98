"""Several models as one module say what the endpoint makes of their answers; a soup is the mean of the weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from eagleray.errors import UserError
from eagleray.model import soup
from eagleray.model.ensemble import Combine, Ensemble, Output
from eagleray.serving import combine as answers
from eagleray.tasks import problems

WEIGHTS = (1.0, 2.0, 0.5)
PROBLEMS: dict[str, Any] = {"label": "single-label", "labels": "multi-label", "value": "regression"}


class Fixed(nn.Module):
    """A model that says the same to everything."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self._logits = logits

    def forward(self, **inputs: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self._logits)


@pytest.mark.parametrize(
    ("combine", "output"),
    [("mean", "label"), ("mean", "labels"), ("mean", "value"), ("vote", "label"), ("vote", "labels")],
)
def test_it_says_what_its_members_say_together(combine: Combine, output: Output) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(20, 1 if output == "value" else 4, generator=generator) * 2 for _ in WEIGHTS]
    problem = problems.build(PROBLEMS[output], labels=("a", "b", "c", "d"), label_separator=",")
    together = Ensemble([Fixed(each) for each in logits], weights=WEIGHTS, combine=combine, output=output)

    found = problem.results(together(input_ids=torch.zeros(20, 1)).logits)

    by_row = zip(*(problem.results(each) for each in logits), strict=True)
    for one, row in zip(found, by_row, strict=True):
        expected = answers.combined(row, WEIGHTS, how=combine)
        assert one.keys() == expected.keys()
        for key, value in expected.items():
            near = 2e-3 if combine == "vote" else 2e-6  # the mean counts a little, so that votes are never equal
            assert one[key] == (value if isinstance(value, str | list) else pytest.approx(value, abs=near))


def test_tags_of_words_are_combined_word_by_word() -> None:
    logits = [torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    together = Ensemble([Fixed(each) for each in logits], weights=(1.0, 1.0), combine="mean", output="label")

    expected = torch.stack([each.softmax(-1) for each in logits]).mean(0)
    torch.testing.assert_close(together().logits.softmax(-1), expected)


def test_a_soup_is_the_weighted_mean(tmp_path: Path) -> None:
    for number in (1, 2):
        tensors = {"weight": torch.full((2, 2), float(number)), "positions": torch.arange(3) * number}
        save_file(tensors, tmp_path / f"{number}.safetensors")
    soup.average(
        [tmp_path / "1.safetensors", tmp_path / "2.safetensors"], tmp_path / "mean.safetensors", weights=(3, 1)
    )

    found = load_file(tmp_path / "mean.safetensors")
    torch.testing.assert_close(found["weight"], torch.full((2, 2), 1.25))
    assert found["positions"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "other", [pytest.param({"a": torch.zeros(3)}, id="shape"), pytest.param({"b": torch.zeros(2)}, id="name")]
)
def test_another_shape_has_no_mean(tmp_path: Path, other: dict[str, torch.Tensor]) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "1.safetensors")
    save_file(other, tmp_path / "2.safetensors")

    with pytest.raises(UserError, match="member 2 has another shape than the first, by a"):
        soup.average([tmp_path / "1.safetensors", tmp_path / "2.safetensors"], tmp_path / "mean", weights=(1, 1))
