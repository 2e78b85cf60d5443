"""A graph as equations that a person reads: what `print(cell)` shows."""

from __future__ import annotations

from collections.abc import Mapping

from rekur.graph.ir import Graph, Node
from rekur.graph.ops import Leaf

_INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2), "greater": (">", 0), "matvec": ("@", 2)}
CALL = 3  # binds tightest: a name, a number, a call
_NAMES = {"sum": "sum_over", "max": "max_over"}


def equations(graph: Graph) -> str:
    """One equation a named value and a next state, in the order of computation; `@` is a product.

    A value used several times that has no name of its own is called t1, t2, …; an output with the name of an
    argument gets a prime.
    """
    label = labels(graph)
    lines = [f"{graph.name}({_signature(graph)})"]
    said: dict[Node, tuple[str, int]] = {}  # text, how tightly it binds
    for n in graph.nodes:
        said[n] = plain(n, said)
        for i, name in enumerate(label.get(n, [])):
            lines.append(f"  {name} = {said[n][0] if i == 0 else label[n][0]}")
        if n in label and n.op != "number":
            said[n] = label[n][0], CALL
    return "\n".join(lines)


def _signature(graph: Graph) -> str:
    groups = [
        ", ".join(f"{a.name}[{' '.join(a.axes)}]" for a in graph.of(kind))
        for kind in ("input", "state", "constant", "gradient")
    ]
    return "; ".join(g for g in groups if g)


def labels(graph: Graph) -> dict[Node, list[str]]:
    """What has an equation of its own, in no order: node -> its names, those of the author first."""
    arguments = {a.name for a in graph.arguments}
    outputs = [(f"{k}'" if k in arguments else k, n) for k, n in graph.outputs.items()]
    label: dict[Node, list[str]] = {}
    for name, n in (*graph.names.items(), *outputs):
        if name not in label.setdefault(n, []):
            label[n].append(name)
    uses: dict[Node, int] = {}
    for n in graph.nodes:
        for a in n.args:
            uses[a] = uses.get(a, 0) + 1
    count = 0
    for n in graph.nodes:
        if n.args and uses.get(n, 0) > 1 and n not in label and n.op != "transpose":
            count += 1
            label[n] = [f"t{count}"]
    return label


def plain(n: Node, said: Mapping[Node, tuple[str, int]]) -> tuple[str, int]:
    """A node as text, given that of its arguments; with each, how tightly it binds."""

    def operand(i: int, binds: int) -> str:
        text, own = said[n.args[i]]
        return f"({text})" if own < binds else text

    if n.op == "number":
        return f"{n.attr:g}", CALL
    if isinstance(n.attr, Leaf):
        leaf = n.attr
        return f"neighbour({leaf.name}, {leaf.offset:+d})" if leaf.offset else leaf.name, CALL
    if n.op == "transpose":
        return f"{operand(0, CALL)}.T", CALL
    if n.op == "neg":
        return f"-{operand(0, 2)}", 1
    if n.op in _INFIX:
        sign, own = _INFIX[n.op]
        tighter = own + 1 if n.op in ("sub", "div", "matvec") else own  # a - (b - c) keeps its brackets
        return f"{operand(0, own)} {sign} {operand(1, tighter)}", own
    args = [said[a][0] for a in n.args]
    if isinstance(n.attr, str):
        args.append(n.attr)
    elif isinstance(n.attr, tuple):
        args += map(str, n.attr)
    return f"{_NAMES.get(n.op, n.op)}({', '.join(args)})", CALL
