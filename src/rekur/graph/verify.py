"""`verify`: what must hold of every graph, after tracing, parsing and each rewrite."""

from __future__ import annotations

import math
import re

from rekur.errors import GraphError
from rekur.graph.ir import Graph, Node
from rekur.graph.ops import OPS, Leaf, Type

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,95}")  # an author's is shorter: passes put something before it
AXIS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}")
INIT = re.compile(
    r"uniform|glorot|orthogonal|identity|zeros|ones|(?:constant|normal|uniform|identity)=-?[0-9.e+-]{1,24}"
)
MAX_NODES = 20_000
MAX_RANK = 4
MAX_OFFSET = 999_999
MAX_NAME = 64
RESERVED = ("d.", "hoisted.", "noise.", "saved.")
"""How the names begin that passes give; an author's does not."""


def verify(graph: Graph) -> Graph:
    """Return `graph` if it is well formed; raise GraphError that names what is not.

    Held: names and axes are of the right form; every leaf is an argument with the same axes, or a weight
    with one description; arguments come before their readers; every type follows from the table; each
    output of a cell has the axes of its state; a product reads a weight or its transpose; only a state is read
    at an offset, and starts from a finite number; sizes are within limits.
    """
    if len(graph.nodes) > MAX_NODES:
        raise GraphError(f"{graph.name} has {len(graph.nodes)} nodes; the limit is {MAX_NODES}")
    _names(graph)
    arguments = {a.name: a for a in graph.arguments}
    weights: dict[str, Leaf] = {}
    seen: set[Node] = set()
    for node in graph.nodes:
        if any(a not in seen for a in node.args):
            raise GraphError(f"{graph.name}: {node!r} stands before one of its arguments")
        seen.add(node)
        row = OPS[node.op]
        if row.shape(tuple(a.type for a in node.args), node.attr) != node.type:
            raise GraphError(f"{graph.name}: {node!r} has a type that does not follow from its arguments")
        if len(node.axes) > MAX_RANK:
            raise GraphError(f"{graph.name}: {node!r} has more than {MAX_RANK} axes")
        if isinstance(node.attr, Leaf) and node.leaf.offset:
            _offset(graph, node)
        if node.op == "matvec":
            _product(graph, node)
        if node.op == "parameter":
            if weights.setdefault(node.leaf.name, node.leaf) != node.leaf:
                raise GraphError(f"{graph.name}: the weight {node.leaf.name!r} has two descriptions")
            _weight(graph, node.leaf)
        elif row.kind == "leaf" and node.op != "number":
            a = arguments.get(node.leaf.name)
            if a is None or a.kind != node.op or a.axes != node.axes:
                raise GraphError(f"{graph.name}: {node!r} is not among the arguments")
    for name in weights:
        if name in arguments:
            raise GraphError(f"{graph.name}: {name!r} is both a weight and an argument")
    _outputs(graph)
    return graph


def _names(graph: Graph) -> None:
    arguments = [a.name for a in graph.arguments]
    if len(set(arguments)) != len(arguments):
        raise GraphError(f"{graph.name}: two arguments have one name")
    for name in (graph.name, *arguments, *graph.names, *graph.outputs):
        if not NAME.fullmatch(name):
            raise GraphError(f"{name[:80]!r} is not a name: letters, digits, _ and dots, at most 64")
    for argument in graph.arguments:
        if not math.isfinite(argument.initial):
            raise GraphError(f"{graph.name}: {argument.name!r} cannot start from {argument.initial}")
    for axis in graph.axes:
        if not AXIS.fullmatch(axis):
            raise GraphError(f"{axis[:80]!r} is not an axis: a letter or a short name")


def _offset(graph: Graph, node: Node) -> None:
    if node.op != "state":
        raise GraphError(f"{graph.name}: {node!r} is read at an offset; only a state has neighbours")
    if abs(node.leaf.offset) > MAX_OFFSET:
        raise GraphError(f"{graph.name}: {node!r} is read {node.leaf.offset} places off; the limit is {MAX_OFFSET}")


def _product(graph: Graph, node: Node) -> None:
    matrix = node.args[0]
    while matrix.op == "transpose":
        (matrix,) = matrix.args
    if matrix.op != "parameter":
        raise GraphError(f"{graph.name}: a product reads a weight or its transpose, not {matrix!r}")


def _weight(graph: Graph, leaf: Leaf) -> None:
    if not NAME.fullmatch(leaf.name):
        raise GraphError(f"{graph.name}: {leaf.name[:80]!r} is not a name for a weight")
    if not INIT.fullmatch(leaf.init):
        raise GraphError(
            f"{graph.name}: {leaf.name!r} cannot be initialised as {leaf.init!r}; there are uniform, glorot, "
            "orthogonal, identity, zeros, ones, constant=C, normal=S, uniform=A, identity=C"
        )
    if leaf.init.partition("=")[0] in ("orthogonal", "identity", "glorot") and not leaf.matrix:
        raise GraphError(f"{graph.name}: {leaf.name!r} is a vector and cannot be initialised as {leaf.init}")


def _outputs(graph: Graph) -> None:
    states = graph.of("state")
    if not graph.outputs and graph.arguments:
        raise GraphError(f"{graph.name} puts nothing out")
    if not {s.name for s in states} <= set(graph.outputs):
        return  # a derived graph: its outputs are not next states
    for state in states:
        kind = graph.outputs[state.name].type
        if kind.axes != state.axes or kind.matrix:
            want = Type(state.axes)
            raise GraphError(f"{graph.name}: the next {state.name!r} has {kind}, the state is {want}")
