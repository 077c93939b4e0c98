"""Where tables and live lines are drawn: rich's console, but no text in them can steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from eagleray.cli.visible import visible


class Screen(Console):
    """Shows control characters of a text as escapes; those of rich itself are segments of their own and stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is drawn of anything."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def render_str(self, text: str, **how: Any) -> Text:
        """A text as rich lays it out: escapes take their place in a column."""
        return super().render_str(visible(text), **how)
