"""How a run looks to someone who follows it from elsewhere: as to who started it, and a line for every event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eagleray.cli import event_text
from eagleray.cli.progress import RunView

if TYPE_CHECKING:
    from eagleray.store.events import Event


class WatchView(RunView):
    """A RunView that leaves no event out: who looks on has seen none of what led to it."""

    def event(self, event: Event) -> None:
        """Show what has happened."""
        self._print(event_text.line(event))
