"""`derive`: the backward step of a graph, in the same vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rekur.errors import GraphError, suggest
from rekur.graph.ir import Graph, Node, make, walk
from rekur.graph.ops import OPS, Leaf
from rekur.graph.rewrite import argument, signature
from rekur.graph.verify import verify

GRADIENT = "d."
"""How the names of gradients begin: ``d.h`` of the output h, of the argument h or of the weight h."""


def gradient_name(leaf: Leaf) -> str:
    """The name under which `derive` puts out the gradient in a leaf.

    >>> gradient_name(Leaf("h", ("H",)))
    'd.h'
    >>> gradient_name(Leaf("h", ("H",), offset=-1))  # of neighbour(h, -1)
    'd.h.minus1'
    """
    side = "" if leaf.offset == 0 else f".{'plus' if leaf.offset > 0 else 'minus'}{abs(leaf.offset)}"
    return f"{GRADIENT}{leaf.name}{side}"


def derive(graph: Graph, wrt: Iterable[str] | None = None) -> Graph:
    """The backward step: from gradients in the outputs of `graph` to gradients in its arguments and weights.

    It reads what `graph` reads and, for each output k, the argument ``d.k`` of kind "gradient"; it puts out
    ``d.a`` for each argument and each weight a, and ``d.h.minus1`` for the lattice read ``neighbour(h, -1)``.
    What does not depend on a gradient is the same nodes as in `graph`. The gradient in a weight is a sum over
    rows (`outer`, `collect`), to be added up over time.

    :param wrt: the arguments and weights whose gradients are wanted; all where it is None. A state stands for
        its lattice reads too.

    A gradient that is zero whatever the values is not put out, and only what is read is in the signature.
    Raises GraphError for a name that `graph` does not have, and where an operation that only derived graphs
    hold depends on what is wanted. The derivative of `greater`, and of a test of `where`, is zero;
    the larger ones of equal values share a gradient evenly.
    """
    flow = gradients(graph, wrt)
    leaves = {n: flow.total[n] for n in walk(graph.outputs.values()) if n in flow.total and not n.args}
    return _backward(graph, flow.arriving.values(), leaves)


@dataclass(frozen=True, slots=True)
class Gradients:
    """The gradients in all values of a step, as nodes over the step's own and over ``d.k`` of each output k."""

    arriving: Mapping[str, Node]
    """Output -> the gradient that arrives in it"""
    along: Mapping[tuple[Node, int], Node]
    """(node, place of an argument) -> what goes back to that argument: local times incoming"""
    total: Mapping[Node, Node]
    """Node -> the sum of what arrives in it"""


def gradients(graph: Graph, wrt: Iterable[str] | None = None) -> Gradients:
    """How gradients flow back through `graph`, edge by edge: what `derive` makes its result of.

    >>> from rekur.graph import cell, named, tanh
    >>> @cell
    ... def plain(x, h):
    ...     return tanh(h)
    >>> flow = gradients(plain.graph)
    >>> next_h = plain.graph.outputs["h"]
    >>> flow.total[next_h] is flow.arriving["h"], flow.along[next_h, 0].op
    (True, 'mul')

    Raises GraphError as `derive`.
    """
    order = list(walk(graph.outputs.values()))
    leads = _leading(order, _wanted(graph, wrt))
    even = _even(order)
    total: dict[Node, Node] = {}
    along: dict[tuple[Node, int], Node] = {}

    def flow(node: Node, gradient: Node | None) -> Node | None:
        if gradient is None or node not in leads:
            return None
        part = _fit(gradient, node, node in even)
        total[node] = total[node] + part if node in total else part
        return part

    for node in order:
        if node in leads and OPS[node.op].kind == "derived":
            raise GraphError(f"{graph.name}: {node.op} is of a derived graph and is not derived again")
    arriving = {
        k: make("gradient", attr=Leaf(f"{GRADIENT}{k}", n.axes)) for k, n in graph.outputs.items() if n in leads
    }
    for name, gradient in arriving.items():
        flow(graph.outputs[name], gradient)
    for node in reversed(order):
        rule = OPS[node.op].derivative
        if node in total and rule is not None:
            for i, (arg, part) in enumerate(zip(node.args, rule(node, total[node]), strict=True)):
                fitted = flow(arg, part)
                if fitted is not None:
                    along[node, i] = fitted
    return Gradients(arriving, along, total)


def _wanted(graph: Graph, wrt: Iterable[str] | None) -> set[str]:
    known = {*[a.name for a in graph.arguments], *graph.parameters}
    wanted = known if wrt is None else set(wrt)
    for unknown in wanted - known:
        raise GraphError(f"{graph.name} has no argument or weight {unknown!r}{suggest(unknown, known)}")
    return wanted


def _leading(order: Iterable[Node], wanted: set[str]) -> set[Node]:
    """The nodes through which a gradient comes to a wanted leaf."""
    leads: set[Node] = set()
    for n in order:
        if (isinstance(n.attr, Leaf) and n.attr.name in wanted) or any(a in leads for a in n.args):
            leads.add(n)
    return leads


def _even(order: Iterable[Node]) -> set[Node]:
    """What is the same in all rows whatever their lengths: a reduction over a ragged axis is not."""
    even: set[Node] = set()
    for n in order:
        if not n.type.rows and OPS[n.op].kind not in ("product", "reduction") and all(a in even for a in n.args):
            even.add(n)
    return even


def _fit(gradient: Node, node: Node, even: bool) -> Node:
    """Undo broadcasting: sum over the axes that `node` does not have, and over rows where all share it."""
    for axis in gradient.axes:
        if axis not in node.axes:
            gradient = make("sum", gradient, attr=axis)
    if gradient.axes != node.axes:
        gradient = make("spread", gradient, attr=node.axes)
    return make("collect", gradient) if gradient.type.rows and even else gradient


def _backward(graph: Graph, arriving: Iterable[Node], leaves: Mapping[Node, Node]) -> Graph:
    place = {a.name: i for i, a in enumerate(graph.arguments)}
    outputs: dict[str, Node] = {}
    for leaf in sorted(leaves, key=lambda n: place.get(n.leaf.name, len(place))):  # weights after arguments
        name = gradient_name(leaf.leaf)
        if name in outputs:
            raise GraphError(f"{graph.name}: two gradients would be called {name!r}")
        outputs[name] = leaves[leaf]
    nodes = tuple(walk(outputs.values()))
    live = set(nodes)
    names = {k: n for k, n in graph.names.items() if n in live}
    arguments = signature((*graph.arguments, *map(argument, arriving)), nodes)
    return verify(Graph(f"{graph.name}.backward", arguments, outputs, names, nodes))
