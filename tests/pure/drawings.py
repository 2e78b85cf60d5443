"""What a picture of a cell must hold, worked out from the graph alone; and small helpers for scenes."""

from __future__ import annotations

from rekur.draw import Box, Edge, Scene
from rekur.graph import Graph, Node

REPEATED = ("parameter", "number")
"""What may stand in several boxes, or be part of one: each that reads it says so"""


def differences(scene: Scene, graph: Graph) -> list[str]:
    """How a picture of the inside of a cell differs from its graph: nodes, edges, names."""
    found = []
    holders: dict[Node, list[str]] = {}
    boxes = {b.name: b for b in scene.boxes}
    if len(boxes) != len(scene.boxes):
        found.append("two boxes have one name")
    for b in scene.boxes:
        for i in b.of:
            holders.setdefault(graph.nodes[i], []).append(b.name)
    for n in graph.nodes:
        count = len(holders.get(n, []))
        if n.op not in REPEATED and count != 1:
            found.append(f"{n!r} stands in {count} boxes")
        if n.op in REPEATED and not count:
            found.append(f"{n!r} stands nowhere")
    for name, node in graph.names.items():
        said = [(b.name, *b.caption.split(", ")) for b in map(boxes.__getitem__, holders.get(node, [])[:1])]
        if said and "rest" not in said[0] and name not in said[0]:
            found.append(f"the name {name!r} is not said in {said[0][0]}")
    found += _edges(scene, graph, holders)
    return found


def _edges(scene: Scene, graph: Graph, holders: dict[Node, list[str]]) -> list[str]:
    want = set()
    for n in graph.nodes:
        for reader in holders.get(n, []):
            for a in n.args:
                for source in holders.get(a, []):
                    if a.op in REPEATED and (reader in holders[a] or len(holders[a]) > 1):
                        continue
                    if source != reader:
                        want.add((source, reader))
    for k, n in graph.outputs.items():
        sources = [b.name for b in scene.boxes if any(graph.nodes[i] is n for i in b.of[-1:]) or b.kind == "rest"]
        want |= {(s, f"next {k}") for s in sources if s in holders[n]}
    joins = {b.name for b in scene.boxes if b.kind == "join"}
    into: dict[str, set[str]] = {}
    for e in scene.edges:
        if e.target in joins:
            into.setdefault(e.target, set()).add(e.source)
    have = set()
    for e in scene.edges:
        if e.target not in joins:
            have |= {(s, e.target) for s in (into[e.source] if e.source in joins else {e.source})}
    said = [f"edge {a} → {b} is missing" for a, b in sorted(want - have)]
    return said + [f"edge {a} → {b} is not in the graph" for a, b in sorted(have - want)]


def ends_meet(scene: Scene) -> list[str]:
    """Edges that do not begin and end at the outlines of their boxes."""
    boxes = {b.name: b for b in scene.boxes}

    def touches(box: Box, x: float, y: float) -> bool:
        left, top, right, bottom = box.sides
        return left - 0.6 <= x <= right + 0.6 and top - 0.6 <= y <= bottom + 0.6

    return [
        f"{e.source} → {e.target}"
        for e in scene.edges
        if not touches(boxes[e.source], *e.points[0]) or not touches(boxes[e.target], *e.points[-1])
    ]


def shared_pieces(scene: Scene) -> list[str]:
    """Edges of different sources that run along each other for some way, so that one hides the other."""
    pieces: list[tuple[Edge, int, float, float, float]] = []
    for e in scene.edges:
        for (ax, ay), (bx, by) in zip(e.points, e.points[1:], strict=False):
            if ax == bx:
                pieces.append((e, 0, ax, min(ay, by), max(ay, by)))
            elif ay == by:
                pieces.append((e, 1, ay, min(ax, bx), max(ax, bx)))
    return [
        f"{a.source} → {a.target} along {b.source} → {b.target}"
        for i, (a, axis, at, low, high) in enumerate(pieces)
        for b, other, where, start, end in pieces[:i]
        if axis == other and abs(at - where) < 1 and min(high, end) - max(low, start) > 1 and a.source != b.source
    ]
