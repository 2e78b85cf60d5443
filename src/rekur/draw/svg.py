"""A scene as SVG: one self-contained element with a viewBox, its text as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from rekur.draw.scene import Box, Edge, Point, Scene
from rekur.draw.style import DARK, KINDS, LIGHT, MARGIN, STROKES, TEXTS
from rekur.draw.words import SMALL, plain, runs

_ROUND = 9.0  # the radius of a bend


def to_svg(scene: Scene, *, dark: bool = False) -> str:
    """The picture; the same scene is always the same text.

    >>> from rekur.draw.scene import Box
    >>> to_svg(Scene("one", (Box("a", "valve", 0, 0, 20, 20, "+"),), ()))[:54]
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4'
    """
    colours = DARK if dark else LIGHT
    left, top, right, bottom = scene.sides
    dx, dy = MARGIN - left, MARGIN - top
    size = f"{_n(right - left + 2 * MARGIN)} {_n(bottom - top + 2 * MARGIN)}"
    wide, high = size.split()
    holding = [b for b in scene.boxes if KINDS[b.kind].holds]
    others = [b for b in scene.boxes if not KINDS[b.kind].holds]
    body = [
        f'<rect width="{wide}" height="{high}" fill="{colours["paper"]}"/>',
        f'<g transform="translate({_n(dx)} {_n(dy)})" stroke-linejoin="round">',
        *(_box(b, colours) for b in holding),
        *(_edge(e, colours) for e in scene.edges),
        *(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="3.4" fill="{colours["ink"]}"/>' for x, y in scene.dots),
        *(_box(b, colours) for b in others),
        *(_words(t.x, t.y, t.text, t.kind, t.anchor, colours) for t in scene.texts),
        "</g>",
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{wide}" height="{high}" role="img">'
        f"\n<title>{escape(scene.title)}</title>\n"
    )
    return head + "\n".join(line for line in body if line) + "\n</svg>\n"


def _n(value: float) -> str:
    """A number, short and the same everywhere."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _box(b: Box, colours: Mapping[str, str]) -> str:
    kind = KINDS[b.kind]
    left, top, _, _ = b.sides
    dash = f' stroke-dasharray="{kind.dash}"' if kind.dash else ""
    paint = f'fill="{colours[kind.fill]}" stroke="{colours["ink"]}" stroke-width="{kind.stroke}"{dash}'
    shape = ""
    if kind.shape == "circle":
        shape = f'<ellipse cx="{_n(b.x)}" cy="{_n(b.y)}" rx="{_n(b.width / 2)}" ry="{_n(b.height / 2)}" {paint}/>'
    elif kind.shape != "none":
        radius = {"rect": 14.0 if kind.holds else 4.0, "round": b.height / 2, "square": 0.0}[kind.shape]
        shape = (
            f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(b.width)}" height="{_n(b.height)}" '
            f'rx="{_n(radius)}" {paint}/>'
        )
    rise = 7.0 if b.caption else 0.0
    words = _words(b.x, b.y - rise, b.label, kind.text, "middle", colours)
    return shape + words + _words(b.x, b.y + rise + 4.0, b.caption, "caption", "middle", colours)


def _words(x: float, y: float, label: str, kind: str, anchor: str, colours: Mapping[str, str]) -> str:
    if not label:
        return ""
    letters = TEXTS[kind]
    style = ' font-style="italic"' * letters.italic + ' font-weight="bold"' * letters.bold
    pieces, level = [], 0.0
    for run in runs(label):
        wanted = {0: 0.0, -1: 0.24, 1: -0.36}[run.level] * letters.size
        small = f' font-size="{_n(letters.size * SMALL)}"' if run.level else ""
        shift = f' dy="{_n(wanted - level)}"' if wanted != level else ""
        text = escape(run.text)
        pieces.append(f"<tspan{shift}{small}>{text}</tspan>" if shift or small else text)
        level = wanted
    return (
        f'<text x="{_n(x)}" y="{_n(y + 0.35 * letters.size)}" text-anchor="{anchor}" font-family="{letters.family}" '
        f'font-size="{_n(letters.size)}"{style} fill="{colours[letters.colour]}">{"".join(pieces)}</text>'
    )


def _edge(e: Edge, colours: Mapping[str, str]) -> str:
    wide, dash = STROKES[e.kind]
    points = list(e.points)
    head = ""
    if e.arrow:
        head, points[-1] = _arrow(points[-2], points[-1], wide, colours["ink"])
    path = _curve(points) if e.curved else _bends(points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    name = escape(f"{plain(e.source)} → {plain(e.target)}{': ' * bool(e.label)}{plain(e.label)}")
    return (
        f'<g fill="none"><title>{name}</title>'
        f'<path d="{path}" stroke="{colours["ink"]}" stroke-width="{wide}"{dashes}/>{head}</g>'
    )


def _arrow(before: Point, tip: Point, wide: float, colour: str) -> tuple[str, Point]:
    """The head at `tip`, and where the line ends that carries it."""
    length, half = 6.5 + 1.3 * wide, 2.6 + 0.8 * wide
    distance = math.dist(before, tip) or 1.0
    ux, uy = (tip[0] - before[0]) / distance, (tip[1] - before[1]) / distance
    x, y = tip[0] - ux * length, tip[1] - uy * length
    corners = [tip, (x - uy * half, y + ux * half), (x + uy * half, y - ux * half)]
    points = " ".join(f"{_n(a)},{_n(b)}" for a, b in corners)
    return f'<polygon points="{points}" fill="{colour}"/>', (tip[0] - ux * length * 0.8, tip[1] - uy * length * 0.8)


def _bends(points: Sequence[Point]) -> str:
    """Straight pieces with rounded corners."""
    out = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        before, after = math.dist(a, b), math.dist(b, c)
        r = min(_ROUND, before / 2, after / 2)
        if r < 0.5:
            out.append(f"L{_n(b[0])} {_n(b[1])}")
            continue
        start = (b[0] + (a[0] - b[0]) * r / before, b[1] + (a[1] - b[1]) * r / before)
        end = (b[0] + (c[0] - b[0]) * r / after, b[1] + (c[1] - b[1]) * r / after)
        out.append(f"L{_n(start[0])} {_n(start[1])}Q{_n(b[0])} {_n(b[1])} {_n(end[0])} {_n(end[1])}")
    return "".join([*out, f"L{_n(points[-1][0])} {_n(points[-1][1])}"])


def _curve(points: Sequence[Point]) -> str:
    """A smooth line through the points that leaves and enters level."""
    out = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for (ax, ay), (bx, by) in pairwise(points):
        if ay == by:
            out.append(f"L{_n(bx)} {_n(by)}")
        else:
            middle = (ax + bx) / 2
            out.append(f"C{_n(middle)} {_n(ay)} {_n(middle)} {_n(by)} {_n(bx)} {_n(by)}")
    return "".join(out)
