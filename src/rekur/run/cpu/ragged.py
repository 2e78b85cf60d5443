"""Ragged memories: a graph with its dead positions masked in the open, so that kernels need to know of none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rekur.graph import EPSILON, Argument, Graph, Leaf, Node, make, verify
from rekur.graph.rewrite import rebuild, same
from rekur.run.call import Call

MASK = "d.mask."
"""How the names of masks begin, and no author's: ``d.mask.S`` holds 1 at the live positions of axis S, else 0."""
_LOWEST = -3.4028234663852886e38  # not -inf, of which the softmax of an empty memory would make NaN


def ragged(graph: Graph, axes: Sequence[str]) -> Graph:
    """The graph on constants with dead positions, which every way to go over one of the axes skips.

    Sums, maxima, softmax, standardise and products over a ragged axis S read ``where(d.mask.S, v, …)``, and what is
    counted along it is a value of each row; nothing else looks from one position at another. A graph that is
    masked already stays as it is, and so do the parts that a backward step shares with it.
    """
    if not graph.outputs:  # a way back without any gradient
        return graph
    new = rebuild(graph.nodes, lambda n, new: _masked(n, new, axes))
    masks = [Argument("constant", MASK + a, (a,)) for a in axes if MASK + a not in {b.name for b in graph.arguments}]
    outputs, names = ({k: new[n] for k, n in of.items()} for of in (graph.outputs, graph.names))
    return verify(Graph(graph.name, (*graph.arguments, *masks), outputs, names))


def with_masks(call: Call, graph: Graph) -> Call:
    """The call of the masked graph: its masks are constants, and no memory has a dead position."""
    lead = call.lead
    masks = {
        MASK + a: m.to(call.like.dtype).reshape(lead[0], *[1] * (len(lead) - 1), -1).expand(*lead, -1)
        for a, m in call.memory.items()
    }
    return replace(call, graph=graph, constants={**call.constants, **masks}, memory={})


def ragged_axes(graph: Graph) -> tuple[str, ...]:
    """The axes that a graph has masks of."""
    return tuple(a.axes[0] for a in graph.of("constant") if a.name.startswith(MASK))


def _mask(axis: str) -> Node:
    return make("constant", attr=Leaf(MASK + axis, (axis,)))


def _live(v: Node, axis: str, dead: float = 0.0) -> Node:
    """`v` with `dead` at the dead positions of an axis."""
    mask, fill = _mask(axis), make("number", attr=dead)
    if v.op == "where" and v.args[0] is mask and v.args[2] is fill:
        return v
    return make("where", mask, v, fill)


def _masked(n: Node, new: Mapping[Node, Node], axes: Sequence[str]) -> Node:
    args = [new[a] for a in n.args]
    if n.op in ("outer", "collect"):
        for axis in axes:
            args = [_live(a, axis) if axis in a.axes else a for a in args]
        return make(n.op, *args, attr=n.attr)
    if n.op == "matvec" and (inner := args[0].axes[1]) in axes:
        return make("matvec", args[0], _live(args[1], inner))
    if not (isinstance(n.attr, str) and n.attr in axes):
        return same(n, new)
    (v,), axis = args, n.attr
    if n.op == "sum":
        return make("sum", _live(v, axis), attr=axis)
    if n.op == "max":
        return make("max", _live(v, axis, float("-inf")), attr=axis)
    if n.op == "softmax":
        low = _live(v, axis, _LOWEST)
        weights = make("softmax", low, attr=axis)
        return weights if low is v else _live(weights, axis)  # done before, with its mask around it
    return _standardised(v, axis)


def _standardised(v: Node, axis: str) -> Node:
    """(v - mean) / sqrt(variance + ε) over the live positions."""

    def mean(of: Node) -> Node:
        return make("sum", _live(of, axis), attr=axis) / count

    ones = _live(make("spread", 1.0, attr=(axis,)), axis)
    count = make("maximum", make("sum", ones, attr=axis), 1.0)
    centred = _live(v - mean(v), axis)
    return centred * (1.0 / make("sqrt", mean(centred * centred) + EPSILON))
