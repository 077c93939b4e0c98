"""How does a cost grow, to the eye? A small SVG with both axes in tens, and a dashed line for what would be linear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil, floor, log10

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 360, 220, 52, 36, 16


def svg(title: str, sizes: Sequence[float], seconds: Sequence[float]) -> str:
    """Points and the line through them; text in the colour of the page around it."""
    across, up = _decades(sizes), _decades(seconds)

    def at(size: float, cost: float) -> str:
        x = LEFT + (log10(size) - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - EDGE)
        y = HEIGHT - BOTTOM - (log10(cost) - up[0]) / (up[1] - up[0]) * (HEIGHT - BOTTOM - 2 * EDGE)
        return f"{x:.1f},{y:.1f}"

    points = [at(size, cost) for size, cost in zip(sizes, seconds, strict=True)]
    # From the last point back: what grows no worse than linear lies above it.
    costs = [(size, seconds[-1] * size / sizes[-1]) for size in sizes]
    linear = [at(size, cost) for size, cost in costs if cost >= 10 ** up[0]]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
        '  font-family="sans-serif" font-size="11" fill="#777">',
        f'<text x="{LEFT}" y="14" font-size="12">{title}</text>',
        *_grid(across, up, at),
        f'<polyline points="{" ".join(linear)}" fill="none" stroke="#999" stroke-dasharray="4 4"/>',
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#1f77b4" stroke-width="2"/>',
        *(_dot(each) for each in points),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(across: tuple[int, int], up: tuple[int, int], at: Callable[[float, float], str]) -> Iterator[str]:
    for power in range(across[0], across[1] + 1):
        x = at(10**power, 10 ** up[0]).split(",")[0]
        yield f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10**power:,}</text>'
    for power in range(up[0], up[1] + 1):
        y = at(10 ** across[0], 10**power).split(",")[1]
        yield f'<line x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{y}" y2="{y}" stroke="#ccc" stroke-width="0.5"/>'
        yield f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{10**power:g} s</text>'


def _dot(point: str) -> str:
    x, y = point.split(",")
    return f'<circle cx="{x}" cy="{y}" r="3" fill="#1f77b4"/>'


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)
