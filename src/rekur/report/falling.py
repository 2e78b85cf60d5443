"""Curves that fall, or rise, by powers of ten: shares by distance, in the page's colours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rekur.report.elements import escaped

_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 16, 12, 42
_LEAST, _MOST = -8, 8  # powers of ten that are drawn
_ABOVE = 0.1  # of a power of ten, by which a line may rise above the topmost rule
_SIZE = 12.5  # of text
_APART = 15  # the least distance of two labels


@dataclass(frozen=True)
class Line:
    """A curve, 1 where it starts, by distance."""

    name: str
    values: Sequence[float]
    colour: str = "ink"
    width: float = 1.5
    dashes: str = ""


def falling(lines: Sequence[Line], width: int, height: int, axis: str = "steps back") -> str:
    """The curves on a logarithmic axis; each has its name where it ends, or where it falls out of the picture."""
    shown = [line for line in lines if len(line.values)]
    tens = [math.log10(v) for line in shown for v in line.values if v > 0 and math.isfinite(v)]
    low = max(_LEAST, min(-2, math.floor(min(tens, default=0))))
    high = min(_MOST, max(0, math.ceil(max(tens, default=0) - _ABOVE)))
    longest = max((len(line.values) for line in shown), default=1)
    right = width - _RIGHT

    def x(distance: float) -> float:
        return _LEFT + (right - _LEFT) * distance / max(1, longest - 1)

    def y(power: float) -> float:
        return _TOP + (height - _TOP - _BOTTOM) * (high - power) / (high - low)

    parts = []
    for power in range(low, high + 1, 2 if high - low > 5 else 1):
        parts.append(_rule(_LEFT, right, y(power), "hair"))
        parts.append(_text(_LEFT - 8, y(power) + 4, _said(power), "end", "soft"))
    parts.append(_rule(_LEFT, right, y(low), "soft"))
    ticks = _ticks(longest - 1, (right - _LEFT) // 60)
    parts += [_text(x(at), height - _BOTTOM + 18, str(at), "middle", "soft") for at in ticks]
    parts.append(_text(right, height - 6, axis, "end", "soft"))
    placed: list[tuple[float, float, float]] = []  # names that are there: from, to, height
    for line in shown:
        points = [(x(distance), y(power)) for distance, power in _points(line.values, low, high + _ABOVE)]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
        dashes = f"; stroke-dasharray: {line.dashes}" if line.dashes else ""
        style = f"fill: none; stroke: var(--{line.colour}); stroke-width: {line.width:g}{dashes}"
        parts.append(f'<polyline points="{path}" style="{style}"><title>{escaped(line.name)}</title></polyline>')
        parts.append(_label(line, points[-1], right, placed))
    return f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">{"".join(parts)}</svg>'


def _points(values: Sequence[float], low: float, high: float) -> list[tuple[float, float]]:
    """Distance and power of ten, as far as the edge of the picture."""
    points: list[tuple[float, float]] = []
    for distance, value in enumerate(values):
        power = math.log10(value) if value > 0 else -math.inf
        edge = min(max(power, low), high)
        if edge == power or not points:
            points.append((distance, edge))
            continue
        before = points[-1][1]
        part = (before - edge) / (before - power) if math.isfinite(power) and before != power else 1.0
        return [*points, (distance - 1 + part, edge)]
    return points


def _label(line: Line, end: tuple[float, float], right: float, placed: list[tuple[float, float, float]]) -> str:
    """The name beside the end of a line, above all that are there already."""
    at, up = end[0] + 6, end[1] - 8
    anchor, wide = "start", 8.0 * len(line.name)
    if at + wide > right:
        at, anchor = right, "end"
    here = at if anchor == "start" else at - wide
    while any(abs(up - y) < _APART and here < until and here + wide > since for since, until, y in placed):
        up -= _APART
    placed.append((here, here + wide, up))
    return _text(at, up, line.name, anchor, line.colour)


def _ticks(last: int, most: float) -> list[int]:
    sizes = [size * ten for ten in (1, 10, 100, 1000) for size in (1, 2, 5)]
    apart = next((size for size in sizes if last / size <= max(1, most)), 10_000)
    return list(range(0, last + 1, apart))


def _said(power: int) -> str:
    known: Mapping[int, str] = {0: "1", -1: "0.1", -2: "0.01", 1: "10", 2: "100"}
    return known.get(power, "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")))


def _rule(left: float, right: float, y: float, colour: str) -> str:
    return (
        f'<line x1="{left:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}" '
        f'style="stroke: var(--{colour}); stroke-width: 0.8"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    style = f"font-size: {_SIZE}px; fill: var(--{colour})"
    halo = "; paint-order: stroke; stroke: var(--paper); stroke-width: 3px" if anchor != "middle" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}{halo}">{escaped(text)}</text>'
