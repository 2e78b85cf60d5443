"""The gradient on its way back through unfolded cells, as a picture that moves without a script.

A wave goes from the loss to the left, and every cell keeps the height of the gradient that came by. On paper, and for
whoever wants no motion, it has arrived everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rekur.inspect.decay import share, times
from rekur.report.elements import escaped

_TENS = 6  # powers of ten from the top of a bar to nothing
_ROW, _BAR, _HEAD = 78, 44, 30
_SIZE = 12.5  # of text

# One clock for all bars, how far the wave has come: animations of their own would start when each is first drawn.
STYLE = """<style>
@property --wave { syntax: "<number>"; inherits: true; initial-value: 9; }
.travel .moving { animation: wave 12s linear infinite; }
.travel .lit { opacity: clamp(0, calc((var(--wave, 9) - var(--at)) * 30), 1); }
.travel .front { transform: translateX(calc(var(--wave, 9) * var(--way)));
  opacity: clamp(0, calc((1 - var(--wave, 9)) * 30), 1); }
.travel:hover .moving { animation-play-state: paused; }
@keyframes wave {
  0% { --wave: 0; opacity: 1; } 45% { --wave: 1.04; opacity: 1; } 94% { --wave: 1.04; opacity: 1; }
  100% { --wave: 1.04; opacity: 0; }
}
@media (prefers-reduced-motion: reduce) { .travel .moving { animation: none; } }
@media print { .travel .moving { animation: none; } }
</style>
"""


@dataclass(frozen=True)
class Traveller:
    """One network: its name, when it is looked at, and what is left of the gradient by distance, 1 at 0."""

    name: str
    when: str
    left: Sequence[float]


def travel(rows: Sequence[Traveller], width: int, height: int) -> str:
    """One row of cells for each network; the rows make the height."""
    wide = width > 600
    margin, end = (150.0, 70.0) if wide else (8.0, 46.0)
    steps = max(1, min(max((len(row.left) for row in rows), default=0), 64 if wide else 24))
    cell, right = (width - margin - end) / steps, width - end
    still, moving = [], []
    top = float(_HEAD)
    for at in range(0, steps, 10):
        x, text, anchor = right - (at + 0.5) * cell, str(at), "middle"
        still.append(_text(x, 14, text, anchor) if at else _text(x, 14, "steps back: 0", "end"))
    for row in rows:
        base = top + (_BAR if wide else _BAR + 16)
        still += _name(row, base) if wide else _name(row, top + 20, inline=True)
        middle = base + 8
        still += [
            _line(margin, middle, right + 12, middle),
            f'<circle cx="{right + 16:.1f}" cy="{middle:.1f}" r="4" style="fill: var(--accent)"/>',
            _text(right + 24, middle + 4, "loss", "start"),
        ]
        gone = next((d for d, left in enumerate(row.left) if left < 0.01), None)
        for distance, left in enumerate(row.left[:steps]):
            x = right - (distance + 0.5) * cell
            note = f"1 % after {distance}" if distance == gone else ""
            still.append(_box(x, middle, cell, "fill: var(--paper); stroke: var(--soft); stroke-width: 0.8"))
            moving.append(_lit(x, base, cell, distance, left, distance / steps, note))
        top = base + _ROW - _BAR
    way = f"--way: {-steps * cell:.1f}px"
    moving.append(f'<g class="front" style="{way}">{_line(right, _HEAD - 8, right, top - 10, "2 3")}</g>')
    return (
        f'<svg class="travel" viewBox="0 0 {width} {top:.0f}" xmlns="http://www.w3.org/2000/svg" role="img">'
        "<title>What is left of the gradient, by steps back from the loss</title>"
        f'{"".join(still)}<g class="moving">{"".join(moving)}</g></svg>'
    )


def _lit(x: float, base: float, cell: float, distance: int, left: float, at: float, note: str) -> str:
    """What a cell has when the wave has come by."""
    tens = math.log10(left) if left > 0 else -math.inf
    level = min(1.0, max(0.0, 1 + tens / _TENS))
    colour = "ink" if tens > 0.3 else "accent"  # what has grown is not what is left
    size, height = _size(cell), _BAR * level
    parts = [f"<title>{escaped(f'{distance} back: {share(left) if left <= 1 else times(left)}')}</title>"]
    if height > 0.3:
        style = f"fill: var(--{colour}); fill-opacity: {0.35 + 0.65 * level:.2f}"
        parts.append(
            f'<rect x="{x - size / 2:.1f}" y="{base - height:.1f}" width="{size:.1f}" height="{height:.1f}" '
            f'style="{style}"/>'
        )
    parts.append(_box(x, base + 8, cell, f"fill: var(--{colour}); fill-opacity: {level:.2f}"))
    if note:
        parts += [_line(x, base - height - 3, x, base - _BAR + 2), _text(x - 5, base - _BAR + 10, note, "end")]
    return f'<g class="lit" style="--at: {at:.3f}">{"".join(parts)}</g>'


def _name(row: Traveller, y: float, inline: bool = False) -> list[str]:
    if not inline:
        return [_text(0, y - 12, row.name, "start", "ink", 16), _text(0, y + 6, row.when, "start")]
    return [_text(8, y, f"{row.name}, {row.when}", "start", "ink")]


def _size(cell: float) -> float:
    return max(3.0, min(cell * 0.62, 9.0))


def _box(x: float, y: float, cell: float, style: str) -> str:
    size = _size(cell)
    left, top = x - size / 2, y - size / 2
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{size:.1f}" height="{size:.1f}" style="{style}"/>'


def _line(x: float, y: float, to_x: float, to_y: float, dashes: str = "") -> str:
    style = "stroke: var(--soft); stroke-width: 0.8" + (f"; stroke-dasharray: {dashes}" if dashes else "")
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" style="{style}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "soft", size: float = _SIZE) -> str:
    halo = "paint-order: stroke; stroke: var(--paper); stroke-width: 3px"
    style = f"font-size: {size:g}px; fill: var(--{colour}); {halo}"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escaped(text)}</text>'
