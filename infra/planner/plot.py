"""Cost over demand as one SVG, drawn by hand: both axes logarithmic, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 960, 520
LEFT, RIGHT, TOP, BOTTOM = 92, 330, 44, 56
# Told apart on both themes and by people who do not tell red from green (Okabe and Ito); dashes do it in print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6bbf", "#7f7f7f")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 4", "6 2 2 2")
STYLE = """
svg { font: 13px system-ui, sans-serif; background: #ffffff; }
text { fill: #1f2328; } .quiet { fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; } .axis { stroke: #59636e; stroke-width: 1; }
.curve { fill: none; stroke-width: 2; } .here { stroke: #59636e; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
.grid { stroke: #2a3038; } .axis, .here { stroke: #9198a1; } .curve { filter: brightness(1.25); }
}
"""
Curve = Sequence[tuple[float, float]]


def cost_plot(title: str, curves: Mapping[str, Curve], rate: float) -> str:
    """SVG of dollars a month over requests a second, one line a name; a dashed line marks `rate`.

    Points that cost nothing have no place on a logarithmic axis and are left out.
    """
    drawn = {name: [point for point in curve if min(point) > 0] for name, curve in curves.items()}
    drawn = {name: curve for name, curve in drawn.items() if curve}
    x = _decades([point[0] for curve in drawn.values() for point in curve])
    y = _decades([point[1] for curve in drawn.values() for point in curve])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="24" font-weight="600">{escape(title)}</text>',
        *_horizontal(x),
        *_vertical(y),
        *_here(rate, x),
    ]
    for number, (name, curve) in enumerate(drawn.items()):
        parts += _curve(number, name, [(_across(px, x), _down(py, y)) for px, py in curve])
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Whole powers of ten around the values."""
    low, high = math.floor(math.log10(min(values, default=1))), math.ceil(math.log10(max(values, default=10)))
    return low, max(high, low + 1)


def _across(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)


def _down(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(value) - low) / (high - low)


def _horizontal(decades: tuple[int, int]) -> list[str]:
    lines, bottom = [], HEIGHT - BOTTOM
    for power in range(decades[0], decades[1] + 1):
        at = _across(10.0**power, decades)
        lines.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}"/>')
        lines.append(f'<text class="quiet" x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">{_label(power)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    lines.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">requests a second</text>')
    return lines


def _vertical(decades: tuple[int, int]) -> list[str]:
    lines, middle = [], (TOP + HEIGHT - BOTTOM) / 2
    for power in range(decades[0], decades[1] + 1):
        at = _down(10.0**power, decades)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        lines.append(f'<text class="quiet" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">${_label(power)}</text>')
    lines.append(f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    lines.append(f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">a month</text>')
    return lines


def _here(rate: float, decades: tuple[int, int]) -> list[str]:
    """Where the catalogue's demand is, if the axis reaches it."""
    if rate <= 0 or not decades[0] <= math.log10(rate) <= decades[1]:
        return []
    at = _across(rate, decades)
    return [
        f'<line class="here" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text class="quiet" x="{at:.1f}" y="{TOP - 6}" text-anchor="middle">{rate:g}/s</text>',
    ]


def _curve(number: int, name: str, points: Sequence[tuple[float, float]]) -> list[str]:
    """The line, and its name in the legend at the right."""
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    stroke = f'class="curve" stroke="{colour}" stroke-dasharray="{dash}"'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    left, at = WIDTH - RIGHT + 16, TOP + 12 + 22 * number
    return [
        f'<polyline {stroke} points="{path}"/>',
        f'<line {stroke} x1="{left}" x2="{left + 26}" y1="{at}" y2="{at}"/>',
        f'<text x="{left + 34}" y="{at + 4}">{escape(name)}</text>',
    ]


def _label(power: int) -> str:
    """1,000 rather than 1000; 0.01 rather than 1e-2."""
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"
