"""What a person sees of a document's life."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from eagleray.cli.up_view import UpView
from tests.support import run_samples


@pytest.mark.parametrize(("shows_data", "expected"), [(True, 1), (False, 0)], ids=["first-step", "shown-before"])
def test_the_data_are_shown_once(shows_data: bool, expected: int) -> None:
    stream = io.StringIO()
    view = UpView(Console(file=stream), shows_data=shows_data)

    for opened in (view.training(), view.sweeping(), view.training()):
        with opened as looker:
            looker.data(run_samples.data())

    assert stream.getvalue().count("labels (train)") == expected
