"""What a library has to say to its authors does not reach a user's screen."""

from __future__ import annotations

import warnings

from eagleray.model import quiet


def _told(category: type[Warning], *, module: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet.silence()
        warnings.warn_explicit("going in v6", category, "a.py", 1, module=module)
    return [str(each.message) for each in caught]


def test_what_transformers_will_drop_is_not_told() -> None:
    assert _told(FutureWarning, module="transformers.modeling_utils") == []


def test_all_else_is_told() -> None:
    assert _told(FutureWarning, module="own_metrics") == ["going in v6"]
    assert _told(UserWarning, module="transformers.modeling_utils") == ["going in v6"]
