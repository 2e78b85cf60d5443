"""Inside a cell: its gates and valves, its state lines straight through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rekur.draw.parts import Part, Parts, abbreviated, parts
from rekur.draw.place import Item, Wire, place
from rekur.draw.rails import depth, left, rails
from rekur.draw.route import Lattice, Port, Spot, route
from rekur.draw.scene import Box, Edge, Point, Scene, Text, free, overlaps
from rekur.draw.style import KINDS, TEXTS
from rekur.draw.words import width
from rekur.graph import Cell, Graph

_APART, _MARGIN, _ASIDE, _OUT = 15.0, 26.0, 13.0, 16.0


def draw_cell(cell: Cell | Graph, *, most: int = 32) -> Scene:
    """A picture of what happens in one step of `cell`.

    Time goes to the right: the states before the step come in from the left and leave on the right, the input comes
    from below. A rectangle is a gate: a sum of products with weights, and its activation. A circle works number by
    number. A thick line is a state, which runs straight through where the cell only weighs and adds it.

    :param most: the number of boxes above which the middle of a long cell is left out, as one box that says so.

    >>> from rekur.cells import lstm
    >>> [b.caption for b in draw_cell(lstm).boxes if b.kind == "gate"]
    ['forget', 'input', 'candidate', 'output']
    """
    graph = cell.graph if isinstance(cell, Cell) else cell
    return _Picture(graph, parts(graph), most).scene()


@dataclass(frozen=True, slots=True)
class _Wire:
    source: str
    target: str
    kind: str
    operand: str = ""


class _Picture:
    def __init__(self, graph: Graph, found: Parts, most: int) -> None:
        self.graph = graph
        self.parts = abbreviated(found, most)
        self.place_of = {n: i for i, n in enumerate(graph.nodes)}
        self.rails = left(rails(graph, found), self.parts)
        self.on_rail = {name: i for i, rail in enumerate(self.rails) for name in rail}
        self.wires: list[_Wire] = []
        self.joins: dict[frozenset[str], str] = {}
        self.boxes: dict[str, Box] = {}
        self._make_boxes()
        self._make_wires()

    # ---- what there is ----------------------------------------------------------------------------------------

    def _make_boxes(self) -> None:
        for p in self.parts.parts:
            of = tuple(self.place_of[n] for n in p.nodes)
            wide, high = _size(p.kind, p.label, p.caption)
            if p.kind == "rest":
                wide, high = max(wide, _ASIDE * (len(p.reads) / 2 + 3)), 46.0
            self.boxes[p.name] = Box(p.name, p.kind, 0, 0, wide, high, p.label, p.caption, of)
        for key in self._shared():
            name = f"join {len(self.joins)}"
            self.joins[key] = name
            label = ", ".join(self.boxes[s].label if s in self.boxes else s for s in self._ordered(key))
            label = label if len(label) <= 26 and all(self._is_leaf(s) for s in key) else "‖"
            label = f"[{label}]" if label != "‖" else label
            self.boxes[name] = Box(name, "join", 0, 0, max(30.0, width(label, TEXTS["weight"].size) + 10), 24, label)
        for output, source in self.parts.outputs.items():
            states = {a.name for a in self.graph.of("state")}
            label = f"{output}_{{t}}" if output in states else output
            wide, high = _size("next", label, "")
            self.boxes[f"next {output}"] = Box(f"next {output}", "next", 0, 0, wide, high, label)
            assert source in self.boxes

    def _is_leaf(self, name: str) -> bool:
        return self.boxes[name].kind in ("input", "state", "constant")

    def _ordered(self, key: Iterable[str]) -> list[str]:
        """States before inputs, as in [h, x]."""
        rank = {"state": 0, "input": 1}
        return sorted(key, key=lambda s: (rank.get(self.boxes[s].kind, 2), list(self.boxes).index(s)))

    def _shared(self) -> list[frozenset[str]]:
        """What several gates multiply with their matrices alike: it is joined once."""
        counts: dict[frozenset[str], int] = {}
        for p in self.parts.parts:
            key = self._products(p)
            if len(key) > 1:
                counts[key] = counts.get(key, 0) + 1
        return [key for key, count in counts.items() if count > 1]

    def _products(self, p: Part) -> frozenset[str]:
        if p.kind != "gate":
            return frozenset()
        by_matrix = [r.source for r in p.reads if r.weight and not self._pointwise(r.weight)]
        return frozenset(by_matrix) if len(set(by_matrix)) == len(by_matrix) else frozenset()

    def _pointwise(self, weight: str) -> bool:
        leaf = self.graph.parameters.get(weight)
        return leaf is not None and not leaf.matrix

    def _make_wires(self) -> None:
        for key, name in self.joins.items():
            self.wires += [_Wire(s, name, "flow") for s in self._ordered(key)]
        for p in self.parts.parts:
            join = self.joins.get(self._products(p))
            if join:
                self.wires.append(_Wire(join, p.name, "flow"))
            for r in p.reads:
                if join and r.source in self._products(p) and not self._pointwise(r.weight):
                    continue
                along = self.on_rail.get(r.source, -1) == self.on_rail.get(p.name, -2)
                self.wires.append(_Wire(r.source, p.name, "state" if along else "flow", r.operand))
        for k, source in self.parts.outputs.items():
            along = [k] == [self.rails[self.on_rail[source]][0]] if source in self.on_rail else False
            self.wires.append(_Wire(source, f"next {k}", "state" if along else "flow"))

    # ---- where it is --------------------------------------------------------------------------------------------

    def _items(self) -> list[Item]:
        top = 3 + depth(self.parts)
        free = tuple(range(3, top))
        out = []
        for name, box in self.boxes.items():
            rail = self.on_rail.get(name)
            if rail is not None:
                rows: tuple[int, ...] = (top + len(self.rails) - 1 - rail,)
            elif box.kind in ("input", "constant", "weight"):
                rows = (0,)
            elif box.kind == "join":
                rows = (1,)
            elif box.kind == "gate":
                rows = (2,)
            elif box.kind == "state":
                rows = (1, 2, *free)
            elif box.kind == "next":
                source = next(w.source for w in self.wires if w.target == name)
                rail = self.on_rail.get(source)
                own = self.rails[rail][0] if rail is not None else ""
                mine = rail is not None and own == name.removeprefix("next ")
                rows = (top + len(self.rails) - 1 - rail,) if rail is not None and mine else (1, 2, *free)
            else:
                rows = free or (3,)
            out.append(Item(name, rows, {"state": -1, "next": 1}.get(box.kind, 0)))
        first = {"input": 0, "constant": 0, "weight": 0, "state": 0}
        order = {name: i for i, name in enumerate(self._order())}
        return sorted(out, key=lambda i: (first.get(self.boxes[i.name].kind, 1), order[i.name]))

    def _order(self) -> list[str]:
        """In the order of computation: a join after all that it joins."""
        names = [n for n in self.boxes if not n.startswith("join ")]
        for key, join in self.joins.items():
            names.insert(1 + max(names.index(s) for s in key), join)
        return names

    def scene(self) -> Scene:
        """The picture."""
        inputs = {n for n, b in self.boxes.items() if b.kind in ("input", "constant") or n.startswith("join ")}
        lengths = {"state": 0.7}
        cells = place(
            self._items(),
            [Wire(w.source, w.target, 0.35 if w.source in inputs else lengths.get(w.kind, 1.0)) for w in self.wires],
        )
        bottom = max(r for _, r in cells.values())
        ports = {name: self._port(name, column, bottom - row) for name, (column, row) in cells.items()}
        pairs = [(w.source, w.target) for w in self.wires]
        lattice = route(ports, pairs, [rail[0] for rail in self.rails])
        for apart in (_APART, 1.5 * _APART, 2.2 * _APART):  # until there is room for the names of operands
            drawn = self._drawn(ports, lattice, apart)
            if not overlaps(drawn):
                break
        return drawn

    def _drawn(self, ports: Mapping[str, Port], lattice: Lattice, apart: float) -> Scene:
        columns = [0.0] * (1 + max(p.column for p in ports.values()))
        rows = [0.0] * (1 + max(p.row for p in ports.values()))
        for name, p in ports.items():
            columns[p.column] = max(columns[p.column], self.boxes[name].width, _ASIDE * (max(3, p.across) - 1) + 4)
            rows[p.row] = max(rows[p.row], self.boxes[name].height, 2 * _ASIDE + 4)
        xs, ys = lattice.positions(columns, rows, apart, _MARGIN * apart / _APART, _ASIDE)
        for name, p in ports.items():
            self.boxes[name] = replace(
                self.boxes[name], x=xs[lattice.line(0, p.column)], y=ys[lattice.line(1, p.row)]
            )
        self._outwards()
        edges, dots = [], set()
        waiting = list(self.wires)
        for net in lattice.nets:
            dots |= {(xs[x], ys[y]) for x, y in net.joints}
            for i, target in enumerate(net.targets):
                wire = next(w for w in waiting if (w.source, w.target) == (net.source, target))
                waiting.remove(wire)
                edges.append(self._edge(wire, net.ways[i], xs, ys))
        texts: list[Text] = []
        for edge in edges:
            if edge.label:
                texts.append(_beside(edge, [*self.boxes.values(), *texts], edges))
        return Scene(
            f"{self.graph.name}: one step", (self._frame(edges), *self.boxes.values()), tuple(edges), tuple(texts),
            tuple(sorted(dots)),
        )  # fmt: skip

    def _outwards(self) -> None:
        """Move what is outside of the frame away from it."""
        for name, box in self.boxes.items():
            dx = {"state": -_OUT, "next": _OUT}.get(box.kind, 0.0)
            dy = _OUT if box.kind in ("input", "constant") else 0.0
            self.boxes[name] = replace(box, x=box.x + dx, y=box.y + dy)

    def _port(self, name: str, column: int, row: int) -> Port:
        kind = self.boxes[name].kind
        if kind == "state":
            return Port(column, row, sides=("right",))
        if kind == "next":
            return Port(column, row, sides=("left",))
        if kind == "gate":
            return Port(column, row, 3, 3, inwards="bottom")
        if kind in ("input", "constant", "weight"):
            return Port(column, row, 3, sides=("top",))
        if kind == "join":
            return Port(column, row, 3, 1)
        if kind == "rest":
            return Port(column, row, int(self.boxes[name].width / _ASIDE - 1) // 2 * 2 + 1, 3)
        return Port(column, row, 3 if KINDS[kind].shape != "circle" and self.boxes[name].width > 34 else 1)

    def _edge(self, wire: _Wire, way: Sequence[Spot], xs: Sequence[float], ys: Sequence[float]) -> Edge:
        points: list[Point] = [(xs[x], ys[y]) for x, y in way]
        points[0] = _onto(self.boxes[wire.source], points[0], points[1])
        points[-1] = _onto(self.boxes[wire.target], points[-1], points[-2])
        label = wire.operand
        return Edge(wire.source, wire.target, tuple(_straightened(points)), wire.kind, label)

    def _frame(self, edges: Iterable[Edge]) -> Box:
        sides = [b.sides for b in self.boxes.values() if b.kind not in ("state", "next", "input", "constant")]
        sides += [(x, y, x, y) for e in edges for x, y in e.points[1:-1]]
        left, top, right, bottom = (f(s[i] for s in sides) for i, f in ((0, min), (1, min), (2, max), (3, max)))
        pad = _APART - 1
        left, top, right, bottom = left - pad, top - pad, right + pad, bottom + pad
        return Box("cell", "frame", (left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def _size(kind: str, label: str, caption: str) -> tuple[float, float]:
    wide = max(width(label, TEXTS[KINDS[kind].text].size), width(caption, TEXTS["caption"].size))
    if kind == "gate":
        return max(58.0, wide + 12), 46.0
    if kind == "valve":
        return (28.0, 28.0) if wide < 20 else (34.0, 34.0)
    if kind in ("state", "next"):
        return wide + 8, 26.0
    return max(34.0, wide + 18), 40.0 if caption else 28.0


def _onto(box: Box, pin: Point, outside: Point) -> Point:
    """Where a wire that comes from `outside` meets the box."""
    left, top, right, bottom = box.sides
    if pin[1] == outside[1]:
        return (right if outside[0] > pin[0] else left), pin[1]
    return pin[0], (bottom if outside[1] > pin[1] else top)


def _straightened(points: Sequence[Point]) -> list[Point]:
    """Without the points in the middle of straight pieces."""
    apart = [p for p, q in zip(points, [None, *points], strict=False) if p != q]
    out = [apart[0]]
    for before, at, after in zip(apart, apart[1:], apart[2:], strict=False):
        if not ((before[0] == at[0] == after[0]) or (before[1] == at[1] == after[1])):
            out.append(at)
    return [*out, apart[-1]]


def _beside(edge: Edge, solid: Sequence[Box | Text], edges: Iterable[Edge]) -> Text:
    """The name of an operand, beside the end of its wire, where there is room for it."""
    tried = []
    pieces = list(pairwise(edge.points))
    for (ax, ay), (bx, by) in reversed(pieces):
        steps = list(range(12, int(abs(ax - bx) + abs(ay - by)), 8)) or [12]
        for at in steps:
            if ay == by:
                x = bx - at if bx > ax else bx + at
                tried += [Text(x, by + side, edge.label, "small") for side in (-9, 9)]
            else:
                y = by - at if by > ay else by + at
                tried += [Text(bx + 5, y, edge.label, "small", "start"), Text(bx - 5, y, edge.label, "small", "end")]
    around = [s.sides for s in solid]
    return next((t for t in tried if free(t.sides, around, edges)), tried[0])
