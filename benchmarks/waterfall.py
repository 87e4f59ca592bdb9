"""A ledger as one SVG: a bar a rung on a logarithmic axis, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW = 960, 280, 190, 64, 30
STYLE = """
svg { font: 13px system-ui, sans-serif; background: #ffffff; }
text { fill: #1f2328; } .quiet { fill: #59636e; }
.grid { stroke: #d1d9e0; stroke-width: 1; } .won { fill: #0072b2; } .left { fill: #b8c4ce; } .beside { fill: #d55e00; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
.grid { stroke: #2a3038; } .won { fill: #56b4e9; } .left { fill: #3d4650; } .beside { fill: #e69f00; }
}
"""
Bar = tuple[str, float]


def waterfall(title: str, chain: Sequence[Bar], beside: Sequence[Bar]) -> str:
    """Bars of milliseconds: what a rung takes, and in another colour what it won from the rung before it.

    `beside` are bars that are no part of the chain, drawn below it. Every bar says how many times as fast it is as the
    first of the chain.
    """
    everything = [*chain, *beside]
    low = math.floor(math.log10(min(ms for _, ms in everything)))
    high = max(low + 1, math.ceil(math.log10(max(ms for _, ms in everything))))
    height = TOP + ROW * len(everything) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text x="16" y="24" font-weight="600">{escape(title)}</text>',
        '<text class="quiet" x="16" y="44">milliseconds a request, logarithmic; grey is what remains, '
        "blue what the lever won</text>",
    ]
    for power in range(low, high + 1):
        at = _across(10.0**power, low, high)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - 34}"/>')
        label = f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"
        parts.append(f'<text class="quiet" x="{at:.1f}" y="{height - 14}" text-anchor="middle">{label}</text>')
    before = chain[0][1]
    for number, (name, ms) in enumerate(everything):
        aside = number >= len(chain)
        ends = [_across(each, low, high) for each in (10.0**low, ms, before if not aside else ms)]
        parts += _bar(number, name, ms, ends, chain[0][1] / ms, aside=aside)
        before = ms
    return "\n".join([*parts, "</svg>", ""])


def _across(ms: float, low: int, high: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(ms) - low) / (high - low)


def _bar(number: int, name: str, ms: float, ends: Sequence[float], times: float, *, aside: bool) -> list[str]:
    top = TOP + ROW * number + 5
    start, now, before = ends
    tall = f'y="{top}" height="{ROW - 10}"'
    parts = [
        f'<text x="{LEFT - 10}" y="{top + 15}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{"beside" if aside else "left"}" x="{start:.1f}" width="{max(1.0, now - start):.1f}" {tall}/>',
    ]
    if before > now:
        parts.append(f'<rect class="won" x="{now:.1f}" width="{before - now:.1f}" {tall}/>')
    label = f"{ms:,.{2 if ms < 100 else 0}f} ms, {times:,.1f}x"
    parts.append(f'<text x="{max(now, before) + 8:.1f}" y="{top + 15}">{label}</text>')
    return parts
