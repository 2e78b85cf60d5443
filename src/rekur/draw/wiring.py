"""What the pictures of whole networks share: how they are wired, and what is needed to put one together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rekur.draw.scene import Box, Edge, Point, Scene, Text
from rekur.draw.style import KINDS, TEXTS
from rekur.draw.words import width
from rekur.errors import OptionError, suggest
from rekur.graph import Graph

SHAPES = ("one-to-one", "one-to-many", "many-to-one", "many-to-many", "encoder-decoder")
"""The five classical ways from a sequence to a sequence"""
CONNECTIONS = ("plain", "residual", "dense")
POOLINGS = ("last", "mean", "max")


@dataclass(frozen=True)
class Wiring:
    """How the layers of a network are wired; the words are those of `rekur.nn.Plan`.

    Raises OptionError for a word that is not there, and for two that do not go together.
    """

    graph: Graph
    """The step of its cell"""
    layers: int = 1
    bidirectional: bool = False
    connections: str = "plain"
    """plain, residual or dense: how layers read those below"""
    shape: str = "many-to-many"
    """one-to-one, one-to-many, many-to-one, many-to-many (an output a step) or encoder-decoder"""
    pooling: str | None = None
    """last, mean or max: how the steps become one output"""
    feedback: bool = False
    """Whether what comes out is what goes in next"""
    embedding: bool = False
    """Whether symbols are looked up before the first layer reads them"""
    head: bool = True
    """Whether outputs are made from the last layer by a matrix"""
    losses: bool = False
    """Whether losses and targets are drawn"""

    def __post_init__(self) -> None:
        for what, said, known in (
            ("shape", self.shape, SHAPES),
            ("connections", self.connections, CONNECTIONS),
            ("pooling", self.pooling or "last", POOLINGS),
        ):
            if said not in known:
                raise OptionError(f"there is no {what} {said!r}{suggest(said, known)}; there are {', '.join(known)}")
        if self.layers < 1:
            raise OptionError(f"a network has 1 layer or more, got {self.layers}")
        if self.bidirectional and (self.feedback or self.shape in ("one-to-many", "encoder-decoder")):
            raise OptionError(
                "what reads in both directions needs the whole input before it puts anything out: "
                f"leave out bidirectional, or {'feedback' if self.feedback else 'shape ' + repr(self.shape)}"
            )
        if self.feedback and self.single:
            raise OptionError(
                "feedback needs an output at every step: leave it out, or say another shape or no pooling"
            )
        if self.pooling and self.shape != "many-to-many" and self.shape != "many-to-one":
            raise OptionError(f"pooling makes one output of many inputs, which shape {self.shape!r} has not")
        if any(n.op == "state" and n.leaf.offset for n in self.graph.nodes):
            raise OptionError(f"{self.graph.name} reads its neighbours on a lattice: draw it as a lattice")

    @property
    def states(self) -> tuple[str, ...]:
        """The states of the cell, the output first."""
        return tuple(a.name for a in self.graph.of("state"))

    @property
    def single(self) -> bool:
        """Whether there is one output for the whole sequence."""
        return self.pooling is not None or self.shape in ("many-to-one", "one-to-one")

    def weights(self, argument: str) -> list[str]:
        """The matrices that an argument of the step is multiplied with, or what stands for it in a sum."""
        direct = {
            n.args[0].leaf.name
            for n in self.graph.nodes
            if n.op == "matvec" and n.args[0].op == "parameter" and n.args[1].op in ("input", "state", "constant")
            and n.args[1].leaf.name == argument
        }  # fmt: skip
        read = any(not n.args and n.op != "number" and n.leaf.name == argument for n in self.graph.nodes)
        return (
            []
            if not read
            else [
                name
                for name, leaf in self.graph.parameters.items()
                if leaf.matrix and (name in direct or name.rpartition(".")[2] == argument)
            ]
        )

    def symbol(self, argument: str, layer: int = 0, mark: str = "") -> str:
        """What an edge is called along which an argument comes: ``W_{h}``; nothing where no matrix is there."""
        if not self.weights(argument):
            return ""
        above = mark + (str(layer + 1) if self.layers > 1 else "")
        return f"W_{{{argument}}}" + (f"^{{{above}}}" if above else "")

    def legend(self) -> list[str]:
        """Which weights of the cell the symbols stand for, a line each."""
        out = []
        for a in self.graph.of("input", "state", "constant"):
            names = self.weights(a.name)
            if names:
                said = ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:4])} and {len(names) - 4} more"
                out.append(f"W_{{{a.name}}}: {said}")
        return out


class Sheet:
    """A picture as it grows."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.edges: list[Edge] = []
        self.texts: list[Text] = []
        self.dots: list[Point] = []

    def box(self, name: str, kind: str, x: float, y: float, label: str = "", caption: str = "", **size: float) -> Box:
        """Put a box at (x, y), as large as its words need it."""
        wide = max(width(label, TEXTS[KINDS[kind].text].size), width(caption, TEXTS["caption"].size))
        round_ = KINDS[kind].shape in ("circle", "square")
        box = Box(
            name, kind, x, y, size.get("width", 34.0 if round_ else max(34.0, wide + 16)),
            size.get("height", 34.0 if round_ else 30.0), label, caption,
        )  # fmt: skip
        assert name not in self.boxes
        self.boxes[name] = box
        return box

    def edge(
        self, source: str, target: str, points: Sequence[Point], label: str = "", kind: str = "flow",
        at: tuple[float, float, str] | None = None, arrow: bool = True,
    ) -> None:  # fmt: skip
        """An edge along `points`; its label at (x, y, anchor)."""
        self.edges.append(Edge(source, target, tuple(points), kind, label, arrow))
        if label and at is not None:
            self.texts.append(Text(at[0], at[1], label, "weight", at[2]))

    def up(self, source: str, target: str, label: str = "", kind: str = "flow", side: str = "start") -> None:
        """From the top of a box to the bottom of one above it; where they are not in line, by way of two bends.

        The label begins (side "start") or ends at the line.
        """
        a, b = self.boxes[source], self.boxes[target]
        top, bottom = a.sides[1], b.sides[3]
        half = (top + bottom) / 2
        points: list[Point] = [(a.x, top), (b.x, bottom)]
        if a.x != b.x:
            points = [(a.x, top), (a.x, half), (b.x, half), (b.x, bottom)]
        self.edge(source, target, points, label, kind, (b.x + (5 if side == "start" else -5), bottom + 14, side))

    def scene(self, title: str) -> Scene:
        """The picture."""
        return Scene(title, tuple(self.boxes.values()), tuple(self.edges), tuple(self.texts), tuple(self.dots))
