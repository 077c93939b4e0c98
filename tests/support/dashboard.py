"""The shipped dashboard, as a test asks Prometheus for what it shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "cluster" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
_VARIABLES = {"$name": ".*", "$run": ".*", "$endpoint": ".*", "$model": ".*", "$__rate_interval": "1m"}


@dataclass(frozen=True)
class Query:
    """What one panel asks."""

    row: str
    panel: str
    expr: str  # as written

    @property
    def promql(self) -> str:
        """As Grafana sends it where everything is chosen."""
        expr = self.expr
        for name, value in _VARIABLES.items():
            expr = expr.replace(name, value)
        return expr


def panels() -> list[tuple[str, dict[str, Any]]]:
    """All panels with the title of their row."""
    row, found = "", []
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            found.append((row, panel))
    return found


def queries() -> list[Query]:
    """Everything that the panels ask."""
    return [Query(row, panel["title"], target["expr"]) for row, panel in panels() for target in panel["targets"]]
