"""`split`: what does not depend on the state leaves the time loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rekur.graph.ir import Graph, Node, make, walk
from rekur.graph.ops import Leaf
from rekur.graph.rewrite import Rate, argument, barriers, rates, rebuild, replacing, signature
from rekur.graph.verify import verify

HOISTED = "hoisted."
"""How the names of values that were computed before the loop begin."""


@dataclass(frozen=True, slots=True)
class Split:
    """A step in three parts; each is a graph of its own, so each is differentiated on its own.

    `once` reads constants and weights and runs once a sequence, `time` also reads inputs and runs for all times
    at once, `step` is what is left in the loop. A part that would compute nothing is None. What `once` puts
    out is a constant of the other two, what `time` puts out is an input of `step`, under the same name:
    ``hoisted.0``, ``hoisted.1``, …
    """

    once: Graph | None
    time: Graph | None
    step: Graph


def split(graph: Graph) -> Split:
    """Split a step by rate. `regroup` first, so that sums have a prefix that can leave.

    What depends on no state leaves the loop if it contains a product or a reduction, as large as it can; what
    is pointwise only stays, since storing it costs more than computing it. So does what would only widen a
    hoisted value (a vector spread over a memory, at every time). A hoisted value is one a row, even where it
    was shared by all.

    A name goes where its value is: to `step` if it is computed or read there, else to the part that computes
    it; each name is in at least one part.
    """
    rate = rates(graph.nodes)
    home = {n: max(rate[n], Rate.SEQUENCE) for n in graph.nodes}
    cut, computed = _cut(graph, home)
    leaves = {n: _leaf(i, n, home[n]) for i, n in enumerate(n for n in graph.nodes if n in cut)}
    arguments = (*graph.arguments, *map(argument, leaves.values()))

    def part(level: Rate, suffix: str) -> Graph:
        new = rebuild(graph.nodes, replacing({n: leaf for n, leaf in leaves.items() if home[n] < level}))
        if level == Rate.STEP:
            elsewhere = (computed[Rate.SEQUENCE] | computed[Rate.TIME]) - computed[level] - cut
            outputs = {k: new[n] for k, n in graph.outputs.items()}
            names = {k: new[n] for k, n in graph.names.items() if n not in elsewhere}
        else:
            outputs = {leaf.leaf.name: new[n] for n, leaf in leaves.items() if home[n] == level}
            names = {k: new[n] for k, n in graph.names.items() if n in computed[level]}
        read = signature(arguments, [*outputs.values(), *names.values()])
        kept = tuple(a for a in arguments if a in read or (a.kind == "state" and level == Rate.STEP))
        return verify(Graph(f"{graph.name}.{suffix}", kept, outputs, names, tuple(walk(new.values()))))

    levels = {home[n] for n in cut}
    once = part(Rate.SEQUENCE, "once") if Rate.SEQUENCE in levels else None
    time = part(Rate.TIME, "time") if Rate.TIME in levels else None
    return Split(once, time, part(Rate.STEP, "step"))


def _leaf(index: int, node: Node, home: Rate) -> Node:
    kind = "constant" if home == Rate.SEQUENCE else "input"
    return make(kind, attr=Leaf(f"{HOISTED}{index}", node.axes))


def _cut(graph: Graph, home: Mapping[Node, Rate]) -> tuple[set[Node], dict[Rate, set[Node]]]:
    """Where the graph is cut, and which nodes each part computes: readers first, each asks for its arguments."""
    worth = _worth(graph, home)
    cut: set[Node] = set()
    computed: dict[Rate, set[Node]] = {level: set() for level in (Rate.SEQUENCE, Rate.TIME, Rate.STEP)}
    asked = {n: {Rate.STEP} for n in graph.outputs.values()}
    for n in reversed(list(walk(graph.outputs.values()))):
        for level in asked[n]:
            at = level
            if home[n] < level and n in worth:
                cut.add(n)
                at = home[n]
            computed[at].add(n)
            for a in n.args:
                asked.setdefault(a, set()).add(at)
    return cut, computed


def _worth(graph: Graph, home: Mapping[Node, Rate]) -> set[Node]:
    """What contains a product or a reduction that changes as often as itself, and is not wider than all of them
    if it changes with time.
    """
    stops = barriers(graph.nodes)
    axes: dict[Node, int] = {}  # the most axes of the products and reductions that a value contains
    for n in graph.nodes:
        inside = [axes[a] for a in n.args if a in axes and home[a] == home[n]]
        if n in stops:
            axes[n] = len(n.axes)
        elif inside:
            axes[n] = max(inside)
    return {n for n, most in axes.items() if home[n] != Rate.TIME or len(n.axes) <= most}
