"""A graph as equations that a person reads: what `print(cell)` shows."""

from __future__ import annotations

from rekur.graph.ir import Graph, Node
from rekur.graph.ops import Leaf

_INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2), "greater": (">", 0)}
_PREFIXED = 3  # binds as tightly as a call
_NAMES = {"sum": "sum_over", "max": "max_over"}


def equations(graph: Graph) -> str:
    """One equation a named value and a next state, in the order of computation; `@` is a product.

    A value used several times that has no name of its own is called t1, t2, …
    """
    label = _labels(graph)
    lines = [f"{graph.name}({_signature(graph)})"]
    seen: set[str] = set()
    for n in graph.nodes:
        for i, name in enumerate(label.get(n, [])):
            if name not in seen:
                seen.add(name)
                lines.append(f"  {name} = {_text(n, label, top=True) if i == 0 else label[n][0]}")
    return "\n".join(lines)


def _signature(graph: Graph) -> str:
    groups = [
        ", ".join(f"{a.name}[{' '.join(a.axes)}]" for a in graph.of(kind))
        for kind in ("input", "state", "constant", "gradient")
    ]
    return "; ".join(g for g in groups if g)


def _labels(graph: Graph) -> dict[Node, list[str]]:
    label: dict[Node, list[str]] = {}
    for name, n in graph.names.items():
        label.setdefault(n, []).append(name)
    states = {a.name for a in graph.of("state")}
    for name, n in graph.outputs.items():
        label.setdefault(n, []).append(f"{name}'" if name in states else name)
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


def _text(n: Node, label: dict[Node, list[str]], top: bool = False, binds: int = 0) -> str:
    if n in label and not top:
        return label[n][0]
    if n.op == "number":
        return f"{n.attr:g}"
    if isinstance(n.attr, Leaf):
        leaf = n.attr
        return f"neighbour({leaf.name}, {leaf.offset:+d})" if leaf.offset else leaf.name
    if n.op == "matvec":
        return f"{_text(n.args[0], label, binds=2)} @ {_text(n.args[1], label, binds=_PREFIXED)}"
    if n.op == "transpose":
        return f"{_text(n.args[0], label)}.T"
    if n.op == "neg":
        out, own = f"-{_text(n.args[0], label, binds=2)}", 1
    elif n.op in _INFIX:
        sign, own = _INFIX[n.op]
        tighter = own + 1 if n.op in ("sub", "div") else own  # a - (b - c) keeps its brackets
        a, b = (_text(x, label, binds=k) for x, k in zip(n.args, (own, tighter), strict=True))
        out = f"{a} {sign} {b}"
    else:
        args = [_text(a, label) for a in n.args]
        if isinstance(n.attr, str):
            args.append(n.attr)
        elif isinstance(n.attr, tuple):
            args += map(str, n.attr)
        return f"{_NAMES.get(n.op, n.op)}({', '.join(args)})"
    return f"({out})" if own < binds else out
