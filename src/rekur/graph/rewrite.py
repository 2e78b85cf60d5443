"""Rewrites of a graph that keep its values, its names and its outputs: `simplify`, `regroup`, `with_outputs`.

What the other passes share lives here too: `rates` (how often a value changes), `barriers` (the products and
reductions) and `rebuild` (the graph again, with a rule at each node).

Equal expressions are one node from the start, so there is no pass for common subexpressions.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import reduce

from rekur.graph.ir import Argument, Graph, Node, make, walk
from rekur.graph.ops import OPS, Leaf
from rekur.graph.verify import verify

# ---- what is known of nodes ---------------------------------------------------------------------------------


class Rate(IntEnum):
    """How often a value changes: never, with the weights, with the sequence, with time, with the state."""

    NUMBER = 0
    WEIGHT = 1
    SEQUENCE = 2
    TIME = 3
    STEP = 4


LEAF_RATE = {
    "number": Rate.NUMBER,
    "parameter": Rate.WEIGHT,
    "constant": Rate.SEQUENCE,
    "input": Rate.TIME,
    "state": Rate.STEP,
    "gradient": Rate.STEP,
}


def rates(nodes: Iterable[Node]) -> dict[Node, Rate]:
    """The rate of each node, which is the fastest of its arguments'; arguments come before their readers."""
    out: dict[Node, Rate] = {}
    for n in nodes:
        out[n] = max(out[a] for a in n.args) if n.args else LEAF_RATE[n.op]
    return out


def barriers(nodes: Iterable[Node]) -> set[Node]:
    """The products and reductions: what needs the whole of a vector, and so ends a stage of the step.

    What is made of numbers alone, as the count under a mean, is known before anything runs and is none.
    """
    rate = rates(nodes := list(nodes))
    over = {op for op, row in OPS.items() if row.kind in ("product", "reduction")} | {"rdev"}
    return {n for n in nodes if n.op in over and rate[n] > Rate.NUMBER}


def argument(leaf: Node) -> Argument:
    """The argument that a leaf reads."""
    return Argument(leaf.op, leaf.leaf.name, leaf.axes)  # type: ignore[arg-type]


def signature(arguments: Iterable[Argument], roots: Iterable[Node]) -> tuple[Argument, ...]:
    """Those of the arguments that the roots read."""
    read = {(n.op, n.attr.name) for n in walk(roots) if isinstance(n.attr, Leaf)}
    return tuple(a for a in arguments if (a.kind, a.name) in read)


# ---- making a graph again -----------------------------------------------------------------------------------

Rule = Callable[[Node, Mapping[Node, Node]], Node]
"""(node, what the nodes before it became) -> what the node becomes."""


def same(node: Node, new: Mapping[Node, Node]) -> Node:
    """The node on what its arguments became: the rule that changes nothing by itself."""
    return make(node.op, *[new[a] for a in node.args], attr=node.attr)


def replacing(leaves: Mapping[Node, Node]) -> Rule:
    """The rule that puts leaves in the place of some nodes."""
    return lambda node, new: leaves[node] if node in leaves else same(node, new)


def rebuild(nodes: Iterable[Node], rule: Rule) -> dict[Node, Node]:
    """What each node becomes; arguments come before their readers."""
    new: dict[Node, Node] = {}
    for n in nodes:
        new[n] = rule(n, new)
    return new


def _mapped(graph: Graph, new: Mapping[Node, Node]) -> Graph:
    outputs = {k: new[n] for k, n in graph.outputs.items()}
    names = {k: new[n] for k, n in graph.names.items()}
    return verify(Graph(graph.name, graph.arguments, outputs, names, tuple(walk(new.values()))))


def with_outputs(graph: Graph, names: Collection[str]) -> Graph:
    """The graph that puts out some of its named values too, after its own outputs.

    A gradient can then come in through them (`derive`) and they are stored a step. GraphError for a name that
    the graph does not have.
    """
    more = {k: graph.named(k) for k in names if k not in graph.outputs}
    return verify(Graph(graph.name, graph.arguments, {**graph.outputs, **more}, graph.names, graph.nodes))


# ---- simplify -----------------------------------------------------------------------------------------------

_FOLD: Mapping[str, Callable[..., float]] = {
    "neg": operator.neg,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "sigmoid": lambda v: 1.0 / (1.0 + math.exp(-v)),
    "softplus": lambda v: math.log1p(math.exp(v)),
    "relu": lambda v: max(v, 0.0),
    "maximum": max,
    "greater": lambda a, b: float(a > b),
    "where": lambda test, a, b: a if test else b,
    "stop": lambda v: v,
}


def simplify(graph: Graph) -> Graph:
    """The same values from fewer operations, place by place and bit by bit, with two exceptions.

    Operations on numbers alone are carried out here (in double precision); x + 0 becomes x, which keeps the
    sign of a zero that the sum would lose. Nothing that can hide a NaN or an infinity is done: x * 0, x - x
    and x / x stay. Simplifying twice changes nothing, and a part that two graphs share stays shared.
    """
    return _mapped(graph, rebuild(graph.nodes, _simplest))


def _simplest(node: Node, new: Mapping[Node, Node]) -> Node:
    node = same(node, new)
    while (simpler := _simpler(node)) is not None and simpler.type == node.type:
        node = simpler
    return node


def _simpler(n: Node) -> Node | None:
    if n.op in _FOLD and all(a.op == "number" for a in n.args):
        return _folded(n)
    if n.op in _RULES and (simpler := _RULES[n.op](*n.args)) is not None:
        return simpler
    if n.op == "spread":
        return _narrowed(n.args[0], n)
    return _without_spread(n) if OPS[n.op].kind == "pointwise" else None


def _folded(n: Node) -> Node | None:
    try:
        value = float(_FOLD[n.op](*[a.attr for a in n.args]))
    except (ArithmeticError, ValueError):  # as log(-1): what comes of it is for the run to show
        return None
    return make("number", attr=value) if math.isfinite(value) else None


def _is(node: Node, value: float) -> bool:
    return node.op == "number" and node.attr == value


def _add(a: Node, b: Node) -> Node | None:
    if _is(b, 0.0):
        return a
    if _is(a, 0.0):
        return b
    if b.op == "neg":
        return a - b.args[0]
    return b - a.args[0] if a.op == "neg" else None


def _sub(a: Node, b: Node) -> Node | None:
    if _is(b, 0.0):
        return a
    return a + b.args[0] if b.op == "neg" else None


def _mul(a: Node, b: Node) -> Node | None:
    if _is(b, 1.0):
        return a
    return b if _is(a, 1.0) else None


_RULES: Mapping[str, Callable[..., Node | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": lambda a, b: a if _is(b, 1.0) else None,
    "neg": lambda a: a.args[0] if a.op == "neg" else None,
    "stop": lambda a: a if a.op == "stop" else None,
    "transpose": lambda a: a.args[0] if a.op == "transpose" else None,
}


def _narrowed(inner: Node, n: Node) -> Node | None:
    if inner.axes == n.axes:
        return inner
    return make("spread", inner.args[0], attr=n.attr) if inner.op == "spread" else None


def _without_spread(n: Node) -> Node | None:
    """Pointwise operations broadcast by themselves: one operand with all axes is enough."""
    for i, a in enumerate(n.args):
        others = n.args[:i] + n.args[i + 1 :]
        if a.op == "spread" and any(o.axes == n.axes for o in others):
            simpler = make(n.op, *n.args[:i], a.args[0], *n.args[i + 1 :], attr=n.attr)
            if simpler.type == n.type:
                return simpler
    return None


# ---- regroup ------------------------------------------------------------------------------------------------


def regroup(graph: Graph) -> Graph:
    """Sums reassociated by rate, so that what does not depend on the state is one prefix of each sum.

    Terms of one shape are added first, the slowest first; so ``W @ x + U @ h + b`` becomes
    ``(b + W @ x) + U @ h``, and `split` can take the bracket out of the loop. Sums whose terms all change
    alike stay as they are, and so do sums with a name or with a second reader inside of a larger one.
    Values stay the same within rounding.
    """
    rate = rates(graph.nodes)
    inner = _inner_sums(graph)

    def rule(n: Node, new: Mapping[Node, Node]) -> Node:
        if n.op == "add" and n not in inner:
            terms = _terms(n, inner)
            if len({rate[t] for t in terms}) > 1:
                return _ordered_sum(n.axes, [(rate[t], new[t]) for t in terms])
        return same(n, new)

    return _mapped(graph, rebuild(graph.nodes, rule))


def _inner_sums(graph: Graph) -> set[Node]:
    """Sums that are only a part of a larger sum."""
    uses = Counter(a for n in graph.nodes for a in n.args)
    held = {*graph.names.values(), *graph.outputs.values()}
    parts = (a for n in graph.nodes if n.op == "add" for a in n.args)
    return {a for a in parts if a.op == "add" and uses[a] == 1 and a not in held}


def _terms(total: Node, inner: Collection[Node]) -> list[Node]:
    """What a sum adds up, left to right, seen through its inner sums."""
    terms, todo = [], [*reversed(total.args)]
    while todo:
        t = todo.pop()
        if t in inner:
            todo.extend(reversed(t.args))
        else:
            terms.append(t)
    return terms


def _ordered_sum(axes: tuple[str, ...], terms: Sequence[tuple[Rate, Node]]) -> Node:
    groups: dict[tuple[str, ...], list[tuple[Rate, Node]]] = {axes: []}  # some term has the shape of the sum
    for rate, term in terms:
        groups.setdefault(term.axes, []).append((rate, term))
    slowest_first = operator.itemgetter(0)
    sums = [reduce(operator.add, [t for _, t in sorted(g, key=slowest_first)]) for g in groups.values()]
    return reduce(operator.add, sums)
