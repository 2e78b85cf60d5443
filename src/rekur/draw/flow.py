"""Values and gradients on the edges: the value above, and below it what comes back, local times incoming."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rekur.draw.layered import Link, layered
from rekur.draw.numbers import Nested, Value, evaluate, leaves_of, nested, places
from rekur.draw.parts import Parts, parts
from rekur.draw.scene import Box, Edge, Point, Scene, Text
from rekur.draw.style import KINDS, TEXTS
from rekur.draw.words import width
from rekur.errors import OptionError, suggest
from rekur.graph import OPS, Graph, Node, gradients

_FEW = 4  # numbers of a vector that a label shows


@dataclass(frozen=True)
class Flow:
    """The numbers of one step: every value, the gradient in it, and what goes back along each edge."""

    graph: Graph
    values: Mapping[Node, Value]
    total: Mapping[Node, Value]
    along: Mapping[tuple[Node, int], Value]
    """(node, place of an argument) -> what the node sends back to that argument"""
    local: Mapping[tuple[Node, int], float]
    """The local gradient, where both values are single numbers"""
    arriving: Mapping[str, Value]

    def gradient(self, name: str) -> Nested:
        """The gradient in an argument, a weight or a named value, as lists in each other; zero where none arrives."""
        node = next((n for n in self.graph.nodes if not n.args and n.op != "number" and n.leaf.name == name), None)
        node = node if node is not None else self.graph.named(name)
        zero = dict.fromkeys(self.values[node], 0.0)
        return nested(self.total.get(node, zero), node.axes)


def flow(
    graph: Graph,
    values: Mapping[str, Nested],
    seeds: Mapping[str, Nested] | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
) -> Flow:
    """Run `graph` forward on `values`, and gradients back through it.

    :param values: number or nested lists by name of argument or weight; a state may be left out.
    :param seeds: the gradient that arrives in each output; by default ones in the first and none in others.
    :param sizes: of axes that no value has.

    >>> from rekur.draw.expression import expression
    >>> done = flow(expression("f*c + i*g"), {"f": 1, "c": 0.5, "i": 1, "g": -1})
    >>> done.gradient("i"), done.gradient("g")
    (-1.0, 1.0)

    Raises OptionError for a name that the graph has not, ShapeError where a value is missing or does not fit.
    """
    known = [*(a.name for a in graph.arguments), *graph.parameters]
    for name in values:
        if name not in known:
            raise OptionError(f"{graph.name} has no {name!r}{suggest(name, known)}; there are {', '.join(known)}")
    for name in seeds or {}:
        if name not in graph.outputs:
            raise OptionError(f"{graph.name} puts out no {name!r}{suggest(name, graph.outputs)}")
    leaves, sizes = leaves_of(graph, values, sizes)
    forward = evaluate(graph.nodes, leaves, sizes)
    back = gradients(graph)
    seeded: dict[Node, Value] = {}
    arriving = {}
    for name, node in back.arriving.items():
        first = name == next(iter(graph.outputs))
        filled: Nested | None = (seeds or {}).get(name)
        if filled is not None:
            seeded[node] = _filled(filled, node, sizes)
        else:
            seeded[node] = dict.fromkeys(places(node.axes, sizes), 1.0 if first and not seeds else 0.0)
        arriving[name] = seeded[node]
    done = evaluate([*back.total.values(), *back.along.values()], {**forward, **seeded}, sizes)
    return Flow(
        graph,
        {n: forward[n] for n in graph.nodes},
        {n: done[g] for n, g in back.total.items()},
        {edge: done[g] for edge, g in back.along.items()},
        _local(graph, forward, sizes),
        arriving,
    )


def _filled(value: Nested, node: Node, sizes: Mapping[str, int]) -> Value:
    if isinstance(value, list):
        return {at: float(_at(value, at)) for at in places(node.axes, sizes)}
    return dict.fromkeys(places(node.axes, sizes), float(value))


def _at(value: Nested, at: Sequence[int]) -> float:
    for i in at:
        value = value[i]  # type: ignore[index]
    return value  # type: ignore[return-value]


def _local(graph: Graph, forward: Mapping[Node, Value], sizes: Mapping[str, int]) -> dict[tuple[Node, int], float]:
    out = {}
    one = graph.nodes[0].like("number", attr=1.0)
    for n in graph.nodes:
        rule = OPS[n.op].derivative
        if rule is None or n.axes or any(a.axes for a in n.args):
            continue
        for i, part in enumerate(rule(n, one)):
            if part is not None:
                out[n, i] = evaluate([part], forward, sizes)[part][()]
    return out


# ---- words ------------------------------------------------------------------------------------------------------


def number(v: float) -> str:
    """A number in a picture: at most three digits after the point.

    >>> number(-0.5), number(2.0), number(0.123456)
    ('−0.5', '2', '0.123')
    """
    if not math.isfinite(v):
        return str(v).replace("-", "−").replace("inf", "∞")
    text = f"{v:.3g}" if v and abs(v) < 0.01 else f"{v:.3f}".rstrip("0").rstrip(".")
    return ("0" if text in ("-0", "0") else text).replace("-", "−")


def vector(value: Value, axes: tuple[str, ...]) -> str:
    """A value in a picture: a number, some numbers of a vector, or the size of what has more axes."""
    if not axes:
        return number(value[()])
    if len(axes) > 1:
        sizes = [1 + max(at[i] for at in value) for i in range(len(axes))]
        return "×".join(map(str, sizes)) + " numbers"
    numbers = [number(v) for _, v in sorted(value.items())]
    shown = numbers if len(numbers) <= _FEW else [*numbers[: _FEW - 1], "…"]
    return f"({', '.join(shown)})"


# ---- the picture ------------------------------------------------------------------------------------------------


class _Said(NamedTuple):
    source: str
    target: str
    above: str
    below: str
    operand: str = ""


def draw_flow(done: Flow, *, title: str = "") -> Scene:
    """The picture of a `Flow`: forward above an edge, gradient below it.

    Between single numbers, the gradient reads ``local · incoming = product``.

    >>> from rekur.draw.expression import expression
    >>> scene = draw_flow(flow(expression("a*b"), {"a": 2, "b": 3}))
    >>> [t.text for t in scene.texts if t.kind == "gradient"]
    ['3 · 1 = 3', '2 · 1 = 2', '1']
    """
    found = parts(done.graph)
    boxes: dict[str, Box] = {}
    place = {n: i for i, n in enumerate(done.graph.nodes)}
    for p in found.parts:
        label = p.label if done.graph.of("state") or p.kind != "input" else p.name
        boxes[p.name] = _box(p.name, p.kind, label, p.caption, tuple(place[n] for n in p.nodes), len(p.reads))
    states = {a.name for a in done.graph.of("state")}
    for output in found.outputs:
        boxes[f"next {output}"] = _box(f"next {output}", "next", f"{output}_{{t}}" if output in states else output)
    said = _said(done, found)
    links = [
        Link(s.source, s.target, (max(width(s.above, _size("value")), width(s.below, _size("gradient"))) + 14, 36.0))
        for s in said
    ]
    last = [f"next {k}" for k in found.outputs]
    layout = layered({n: (b.width, b.height) for n, b in boxes.items()}, links, last)
    texts, edges = [], []
    for b in list(boxes.values()):
        x, y = layout.middles[b.name]
        boxes[b.name] = Box(b.name, b.kind, x, y, b.width, b.height, b.label, b.caption, b.of)
    for s, path, (x, y) in zip(said, layout.paths, layout.labels, strict=True):
        edges.append(Edge(s.source, s.target, tuple(_ended(path, boxes[s.target])), "flow", s.operand, curved=True))
        texts += [Text(x, y - 9, s.above, "value")] * bool(s.above)
        texts += [Text(x, y + 9.5, s.below, "gradient")] * bool(s.below)
    return Scene(
        title or f"{done.graph.name}: values and gradients", tuple(boxes.values()), tuple(edges), tuple(texts)
    )


def _size(kind: str) -> float:
    return TEXTS[kind].size


def _box(name: str, kind: str, label: str, caption: str = "", of: tuple[int, ...] = (), reads: int = 0) -> Box:
    wide = max(width(label, _size(KINDS[kind].text)), width(caption, _size("caption")))
    if kind == "valve":
        side = 30.0 if wide < 22 else 38.0
        return Box(name, kind, 0, 0, side, side, label, caption, of)
    high = {"gate": 46.0, "next": 26.0}.get(kind, 40.0 if caption else 30.0)
    high = max(high, 12.0 * reads)
    return Box(name, kind, 0, 0, max(30.0, wide + (4 if KINDS[kind].bare else 18)), high, label, caption, of)


def _said(done: Flow, found: Parts) -> list[_Said]:
    """What is written on the edge of each read, and on those that lead out."""
    out = []
    value_of = {p.name: p.value for p in found.parts}
    for p in found.parts:
        inside = set(p.nodes)
        left: dict[Node, list[tuple[Node, int]]] = {}
        for n in p.nodes:
            for i, a in enumerate(n.args):
                if a not in inside:
                    left.setdefault(a, []).append((n, i))
        for r in p.reads:
            v = value_of[r.source]
            edge = left[v].pop(0)
            out.append(_Said(r.source, p.name, vector(done.values[v], v.axes), _back(done, v, edge), r.operand))
    for k, source in found.outputs.items():
        v = value_of[source]
        seed = vector(done.arriving[k], v.axes) if k in done.arriving else ""
        out.append(_Said(source, f"next {k}", vector(done.values[v], v.axes), seed))
    return out


def _back(done: Flow, v: Node, edge: tuple[Node, int]) -> str:
    sent = done.along.get(edge)
    if sent is None:
        return "0"
    if edge in done.local:
        incoming = done.total[edge[0]][()]
        return f"{number(done.local[edge])} · {number(incoming)} = {number(sent[()])}"
    return vector(sent, v.axes)


def _ended(path: Sequence[Point], target: Box) -> list[Point]:
    """The path up to the outline of a circle."""
    x, y = path[-1]
    if KINDS[target.kind].shape == "circle":
        r = target.width / 2
        x = target.x - math.sqrt(max(0.0, r * r - (y - target.y) ** 2))
    return [*path[:-1], (x, y)]
