"""The points that are measured: a grid of layers, and single measurements; all of them, or the short form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from rekur.errors import OptionError, suggest

CELLS = ("lstm", "gru", "elman", "own")
HIDDEN, BATCH, TIME = (64, 128, 256, 512, 1024), (1, 8, 32, 64), (50, 100)
MODES = ("training", "inference")


@dataclass(frozen=True)
class Point:
    """What is measured.

    `layer`: a call of one layer, forward (inference) or forward and backward (training), with input = hidden and,
    in training, gradients of the input as in the middle of a stack. `lengths`: the same with row lengths uniform
    in T/4 … T. `share`: a layer in training that needs no gradient of its input. `step`: one step of a stream.
    `sample`: characters drawn from a model of two layers. `compile`: a cell never seen before, up to its first
    result in inference and in training. `memory`: the most that training holds.
    """

    part: str
    cell: str
    mode: str
    hidden: int
    batch: int
    time: int

    @property
    def labels(self) -> tuple[str, ...]:
        """What `select` can ask for."""
        return self.part, self.cell, self.mode, f"h{self.hidden}", f"b{self.batch}", f"t{self.time}"

    @property
    def name(self) -> str:
        """The labels in a row; that it is a layer goes without saying.

        >>> Point("layer", "gru", "training", 64, 8, 50).name
        'gru-training-h64-b8-t50'
        """
        return "-".join(self.labels).removeprefix("layer-")


_SMALL = Point("layer", "own", "training", 128, 16, 100)  # where an eager loop costs most


def every_point() -> list[Point]:
    """The whole grid, then lengths, then what is measured once."""
    lengths = [Point("lengths", *rest) for rest in product(CELLS, MODES, HIDDEN, (32, 64), TIME)]
    return [*_layers(product(HIDDEN, BATCH, TIME)), *lengths, *_single()]


def short_points() -> list[Point]:
    """A handful, some minutes."""
    layers = _layers([(64, 1, 50), (256, 32, 50)])
    return [*layers, Point("lengths", "lstm", "training", 256, 32, 50), *_single()]


def _layers(sizes: Iterable[tuple[int, int, int]]) -> list[Point]:
    grid = {Point("layer", *kind, *size) for size in sizes for kind in product(CELLS, MODES)} | {_SMALL}
    return sorted(grid, key=lambda p: (CELLS.index(p.cell), MODES.index(p.mode), p.hidden, p.batch, p.time))


def _single() -> list[Point]:
    return [
        Point("share", "lstm", "training", 512, 64, 100),
        Point("step", "lstm", "inference", 512, 1, 1),
        Point("sample", "lstm", "inference", 512, 1, 256),
        Point("compile", "lstm", "training", 64, 1, 1),
        Point("compile", "own", "training", 64, 1, 1),
        Point("memory", "lstm", "training", 512, 64, 100),
    ]


def select(points: Sequence[Point], names: Iterable[str]) -> list[Point]:
    """The points that one of the names means: a point's own name, or labels in a row that it has. All by default.

    >>> [p.name for p in select(short_points(), ["lstm-inference-h64", "step"])]
    ['lstm-inference-h64-b1-t50', 'step-lstm-inference-h512-b1-t1']

    Raises OptionError for a name that means none of them.
    """
    names = list(names)
    found: dict[Point, None] = {}
    for name in names:
        these = _meant(name, points)
        if not these:
            raise OptionError(_nothing(name, points))
        found |= dict.fromkeys(these)
    return [p for p in points if not names or p in found]


def _meant(name: str, points: Sequence[Point]) -> list[Point]:
    wanted = set(name.lower().split("-"))
    return [p for p in points if p.name == name.lower()] or [p for p in points if wanted <= set(p.labels)]


def _nothing(name: str, points: Sequence[Point]) -> str:
    known = dict.fromkeys(label for p in every_point() for label in p.labels)
    strange = [label for label in name.lower().split("-") if label not in known]
    if strange:
        return f"no point has the label {strange[0]!r}{suggest(strange[0], known)}; labels are {', '.join(known)}"
    if _meant(name, every_point()):
        return f"{name!r} is not in the short form: add --full"
    return f"no point is called {name!r}: it is labels in a row, as {points[0].name} or {points[0].labels[0]}"
