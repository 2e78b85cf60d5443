"""Rewrites that open a cell to noise: a mask on the state that products read, and zoneout.

The noise itself comes from outside, as a constant of the sequence or an input of every step, so a cell with noise is
a graph like any other: it is printed, compiled and differentiated as one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from rekur.errors import GraphError, suggest
from rekur.graph.ir import Argument, Graph, Node, make, walk
from rekur.graph.ops import OPS, Leaf
from rekur.graph.rewrite import rebuild, same
from rekur.graph.verify import verify

MASK, KEEP = "noise.mask.", "noise.keep."
"""How the names of the arguments begin that noise comes in by; an author's do not begin with ``noise.``"""
_PLACE_BY_PLACE = ("spread", "standardise", "softmax")
"""What keeps each unit at its place, besides the pointwise operations"""


def recurrent_weights(graph: Graph) -> tuple[str, ...]:
    """The matrices by which a cell multiplies its output state: U of ``U @ h``, and of ``U @ (r * h)``.

    A vector counts as the state where it is made of it place by place. Empty for a cell that lets its state through
    no matrix, as minGRU.

    >>> from rekur.cells import gru
    >>> recurrent_weights(gru.graph)
    ('reset.h', 'update.h', 'candidate.h')
    """
    products = _recurrent(graph)
    return tuple(dict.fromkeys(_matrix(n).leaf.name for n in graph.nodes if n in products))


def masked_state(graph: Graph) -> Graph:
    """The cell whose products read the output state through a mask: ``U @ (h * noise.mask.h)`` for each ``U @ h``.

    The mask ``noise.mask.h`` is a constant of the sequence, so it is the same at all steps. Where the cell reads its
    state without a matrix, as in the memory ``f * c`` of the LSTM or the leak ``z * h`` of the GRU, nothing is
    masked. What is made of the state place by place counts as the state: ``U @ (r * h * noise.mask.h)``.

    Source: Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks", NIPS
    2016, equations 5 and 7.

    Raises GraphError where there is no such product.
    """
    products, state = _recurrent(graph), graph.of("state")[0]
    if not products:
        raise GraphError(f"{graph.name} multiplies its state {state.name!r} by no matrix: there is nothing to mask")
    mask = make("constant", attr=Leaf(MASK + state.name, state.axes))

    def rule(n: Node, new: Mapping[Node, Node]) -> Node:
        if n in products:
            return make("matvec", new[n.args[0]], new[n.args[1]] * mask)
        return same(n, new)

    new = rebuild(graph.nodes, rule)
    outputs, names = ({k: new[n] for k, n in of.items()} for of in (graph.outputs, graph.names))
    arguments = (*graph.arguments, Argument("constant", MASK + state.name, state.axes))
    return verify(Graph(f"{graph.name}.masked", arguments, outputs, names, tuple(walk(new.values()))))


def zoneout(graph: Graph, states: Collection[str]) -> Graph:
    """The cell in which a unit may keep what it had: ``s' = where(noise.keep.s, s, new)`` for each of the states.

    ``noise.keep.s`` is an input of every step, 1 where the unit keeps its value. What else the cell makes of a new
    state, as the output ``o * tanh(c)`` of an LSTM, is made of it as it was before zoneout.

    Source: Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations", ICLR 2017.

    >>> from rekur.cells import elman
    >>> list(zoneout(elman.graph, ["h"]).outputs.values())
    [<where [H]>]

    Raises GraphError for a state that the cell does not have.
    """
    inputs = {s: Argument("input", KEEP + s, _state(graph, s).axes) for s in states}

    def rule(s: str, old: Node, value: Node) -> Node:
        return make("where", make("input", attr=Leaf(KEEP + s, old.axes)), old, value)

    return _zoned(graph, inputs, rule, tuple(inputs.values()))


def mean_zoneout(graph: Graph, rates: Mapping[str, float]) -> Graph:
    """What `zoneout` is on average, for use after training: ``s' = rate * s + (1 - rate) * new``, state by state.

    Source: as for `zoneout`; its section 3.2.

    Raises GraphError for a state that the cell does not have.
    """
    return _zoned(graph, rates, lambda s, old, value: rates[s] * old + (1.0 - rates[s]) * value, ())


def _zoned(
    graph: Graph, states: Collection[str], rule: Callable[[str, Node, Node], Node], more: tuple[Argument, ...]
) -> Graph:
    outputs = dict(graph.outputs)
    for s in states:
        old = _state(graph, s)
        outputs[s] = rule(s, make("state", attr=Leaf(s, old.axes)), graph.outputs[s])
    order = tuple(walk([*graph.nodes, *outputs.values()]))
    return verify(Graph(f"{graph.name}.zoneout", (*graph.arguments, *more), outputs, graph.names, order))


def _state(graph: Graph, name: str) -> Argument:
    found = {a.name: a for a in graph.of("state")}
    if name not in found:
        raise GraphError(f"{graph.name} has no state {name!r}; it has {', '.join(found)}{suggest(name, found)}")
    return found[name]


def _recurrent(graph: Graph) -> set[Node]:
    """The products that read the output state, or what is made of it place by place."""
    state = graph.of("state")[0].name
    made: set[Node] = set()
    for n in graph.nodes:
        by_place = OPS[n.op].kind == "pointwise" or n.op in _PLACE_BY_PLACE
        if (n.op == "state" and n.leaf.name == state) or (by_place and any(a in made for a in n.args)):
            made.add(n)
    return {n for n in graph.nodes if n.op == "matvec" and n.args[1] in made}


def _matrix(product: Node) -> Node:
    matrix = product.args[0]
    while matrix.op == "transpose":
        (matrix,) = matrix.args
    return matrix
