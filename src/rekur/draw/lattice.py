"""A cell on a lattice, unfolded: time to the right, sites upwards, and what each site reads of its neighbours."""

from __future__ import annotations

from rekur.draw.scene import Point, Scene, Text
from rekur.draw.style import TEXTS
from rekur.draw.wiring import Sheet
from rekur.draw.words import width
from rekur.errors import OptionError
from rekur.graph import Graph, Node

_HIGH, _ACROSS, _RISE = 50.0, 96.0, 104.0


def lattice(graph: Graph, steps: int = 3, sites: int = 3) -> Scene:
    """The picture of a cell that reads its neighbours, over some steps and sites.

    >>> from rekur.cells import lstm2d
    >>> scene = lattice(lstm2d.graph, steps=2, sites=2)
    >>> [(e.source, e.target) for e in scene.edges if e.kind == "state"]
    [('site 1 step 1', 'site 1 step 2'), ('site 1 step 1', 'site 2 step 2'), ('site 2 step 1', 'site 2 step 2')]

    Raises OptionError for a cell without neighbours, and where steps or sites are not 1 to 8.
    """
    offsets = sorted({n.leaf.offset for n in graph.nodes if n.op == "state"})
    if offsets in ([], [0]):
        raise OptionError(f"{graph.name} reads no neighbours: draw it unfolded")
    if not (1 <= steps <= 8 and 1 <= sites <= 8):
        raise OptionError(f"a lattice is drawn over 1 to 8 steps and sites, not {steps} and {sites}")
    sheet = Sheet()
    inputs = ", ".join(a.name for a in graph.of("input"))
    wide = max(
        84.0, width(graph.name, TEXTS["label"].size) + 16, width(f"{inputs}_{{8,8}}", TEXTS["variable"].size) + 6
    )
    for site in range(1, sites + 1):
        for step in range(1, steps + 1):
            x, y = step * (wide + _ACROSS), -site * _RISE
            name = f"site {site} step {step}"
            sheet.box(name, "layer", x, y, graph.name, f"site {site}", width=wide, height=_HIGH)
            label = f"{inputs}_{{{step},{site}}}"
            low = sheet.box(f"input {site} {step}", "input", x - 6, y + _HIGH / 2 + 30, label, height=25.0)
            sheet.edge(low.name, name, [(x - 6, low.sides[1]), (x - 6, y + _HIGH / 2)])
    for site in range(1, sites + 1):
        for step in range(1, steps):
            for offset in offsets[::-1]:
                other = site - offset  # the site that reads this one at `offset`
                if not 1 <= other <= sites:
                    continue
                a, b = sheet.boxes[f"site {site} step {step}"], sheet.boxes[f"site {other} step {step + 1}"]
                # straight across the gap, from a place of its own to a place of its own
                start: Point = (a.sides[2], a.y + _port(-offset))
                end: Point = (b.sides[0], b.y + _port(offset))
                sheet.edge(
                    a.name, b.name, [start, (start[0] + 10, start[1]), (end[0] - 14, end[1]), end], "", "state"
                )
    reads = {
        o: ", ".join(a.name for a in graph.of("state") if any(_reads(n, a.name, o) for n in graph.nodes))
        for o in offsets
    }
    left, _, _, low_ = sheet.scene("").sides
    lines = [f"the same site: {reads[0]}"] if 0 in reads else []
    lines += [f"the site at {o:+d}: {names}".replace("-", "−") for o, names in reads.items() if o]
    for i, line in enumerate(lines):
        sheet.texts.append(Text(left, low_ + 24 + 18 * i, f"from the step before, {line}", "note", "start"))
    return sheet.scene(f"{graph.name} on a lattice of {sites} sites, over {steps} steps")


def _port(offset: int) -> float:
    """How far from the middle of a box an edge to or from a neighbour meets it: above is smaller."""
    return max(-1, min(1, offset)) * -13.0


def _reads(node: Node, name: str, offset: int) -> bool:
    return node.op == "state" and (node.leaf.name, node.leaf.offset) == (name, offset)
