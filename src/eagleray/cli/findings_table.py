"""What a look at machines has found, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from eagleray.flow.findings import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def findings_table(findings: Iterable[Finding]) -> Table:
    """A row a finding, with what to do about it."""
    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "seen"):
        table.add_column(column, overflow="fold", no_wrap=column != "seen")
    for each in findings:
        seen = f"{each.seen}\n→ {each.remedy}" if each.remedy else each.seen
        table.add_row(each.what, Text(each.state, style=_COLOURS[each.state]), Text(seen))
    return table
