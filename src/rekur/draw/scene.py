"""A picture before it is drawn: boxes, edges and texts, each with its place and with what it stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rekur.draw.style import KINDS, TEXTS
from rekur.draw.words import width

Point = tuple[float, float]
Sides = tuple[float, float, float, float]
"""Left, top, right, bottom"""


@dataclass(frozen=True, slots=True)
class Box:
    """Something that holds or computes a value, with its middle at (x, y)."""

    name: str
    """Its own among the boxes of the scene"""
    kind: str
    """Its shape and strokes: a row of `style.KINDS`"""
    x: float
    y: float
    width: float
    height: float
    label: str = ""
    caption: str = ""
    """A small line under the label"""
    of: tuple[int, ...] = ()
    """The places in `graph.nodes` of what it stands for"""

    @property
    def sides(self) -> Sides:
        """Left, top, right, bottom."""
        return (
            self.x - self.width / 2, self.y - self.height / 2, self.x + self.width / 2, self.y + self.height / 2,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way from one box to another."""

    source: str
    target: str
    points: tuple[Point, ...]
    kind: str = "flow"
    """Its stroke: a row of `style.STROKES`"""
    label: str = ""
    """What it is called, as a weight or the operand that it is; a text of the scene shows it"""
    arrow: bool = True
    curved: bool = False
    """Whether it bends smoothly; else its corners are rounded"""


@dataclass(frozen=True, slots=True)
class Text:
    """Words beside boxes and edges, with their middle at (x, y)."""

    x: float
    y: float
    text: str
    kind: str = "label"
    """Its size and letters: a row of `style.TEXTS`"""
    anchor: str = "middle"
    """start | middle | end: which of its ends is at x"""

    @property
    def sides(self) -> Sides:
        """Left, top, right, bottom."""
        size = TEXTS[self.kind].size
        wide = width(self.text, size)
        left = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * wide
        return left, self.y - 0.58 * size, left + wide, self.y + 0.58 * size


@dataclass(frozen=True)
class Scene:
    """A picture: what is drawn where. A notebook shows it; `svg.write` and `png.write` make files of it.

    >>> scene = Scene("two", (Box("a", "valve", 0, 0, 20, 20, "+"), Box("b", "valve", 60, 0, 20, 20, "×")),
    ...               (Edge("a", "b", ((10, 0), (50, 0))),))
    >>> scene.box("b").label
    '×'
    """

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    texts: tuple[Text, ...] = ()
    dots: tuple[Point, ...] = ()
    """Where an edge parts in two"""

    def box(self, name: str) -> Box:
        """The box of this name."""
        return next(b for b in self.boxes if b.name == name)

    def svg(self, *, dark: bool = False) -> str:
        """The picture as one SVG that needs nothing else."""
        from rekur.draw.svg import to_svg

        return to_svg(self, dark=dark)

    def _repr_svg_(self) -> str:
        return self.svg()

    @property
    def sides(self) -> Sides:
        """Left, top, right, bottom of all that is drawn."""
        around = [*(b.sides for b in self.boxes), *(t.sides for t in self.texts)]
        around += [(x, y, x, y) for e in self.edges for x, y in e.points]
        lefts, tops, rights, bottoms = zip(*around, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


def moved(scene: Scene, dx: float, dy: float) -> Scene:
    """The scene shifted."""

    def shift(points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple((x + dx, y + dy) for x, y in points)

    return Scene(
        scene.title,
        tuple(dataclasses.replace(b, x=b.x + dx, y=b.y + dy) for b in scene.boxes),
        tuple(dataclasses.replace(e, points=shift(e.points)) for e in scene.edges),
        tuple(dataclasses.replace(t, x=t.x + dx, y=t.y + dy) for t in scene.texts),
        shift(scene.dots),
    )


# ---- what must not happen in a picture ----------------------------------------------------------------------

_NEAR = 0.5  # what touches by less than this does not overlap


def overlaps(scene: Scene) -> list[str]:
    """What overlaps that must not: boxes, texts, a text wider than its box, an edge through a box or a text.

    Boxes of kind "frame" hold others and are left out. A test asks this of every picture.
    """
    found = []
    boxes = [b for b in scene.boxes if not KINDS[b.kind].holds]
    for b in boxes:
        for text, kind in ((b.label, KINDS[b.kind].text), (b.caption, "caption")):
            if width(text, TEXTS[kind].size) > b.width and not KINDS[b.kind].bare:
                found.append(f"{text!r} does not fit into box {b.name}")
    solid = [(f"box {b.name}", b.sides) for b in boxes] + [(f"text {t.text!r}", t.sides) for t in scene.texts]
    for i, (one, a) in enumerate(solid):
        found += [f"{one} and {other} overlap" for other, b in solid[:i] if _meet(a, b)]
    for e in scene.edges:
        ends = {f"box {e.source}", f"box {e.target}"}
        for start, end in pairwise(e.points):
            found += [
                f"edge {e.source} → {e.target} runs through {what}"
                for what, sides in solid
                if what not in ends and _crosses(start, end, sides)
            ]
    return sorted(set(found))


def free(sides: Sides, solid: Iterable[Sides], edges: Iterable[Edge]) -> bool:
    """Whether a rectangle touches none of others and no edge runs through it."""
    return not any(_meet(sides, other) for other in solid) and not any(
        _crosses(a, b, sides) for e in edges for a, b in pairwise(e.points)
    )


def _meet(a: Sides, b: Sides) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > _NEAR and min(a[3], b[3]) - max(a[1], b[1]) > _NEAR


def _crosses(a: Point, b: Point, sides: Sides) -> bool:
    """Whether the segment enters the rectangle: Liang and Barsky's clipping."""
    low, high = 0.0, 1.0
    (left, top, right, bottom) = sides
    for start, step, least, most in (
        (a[0], b[0] - a[0], left + _NEAR, right - _NEAR),
        (a[1], b[1] - a[1], top + _NEAR, bottom - _NEAR),
    ):
        if not step:
            if not least < start < most:
                return False
            continue
        t = sorted(((least - start) / step, (most - start) / step))
        low, high = max(low, t[0]), min(high, t[1])
    return high - low > 1e-9
