"""A step graph as the parts that a person sees: a gate for its sum, weights and activation; a valve for a product.

Every node of the graph lies in one part; weights and numbers lie in each part that uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rekur.graph import Graph, Node
from rekur.graph.ops import Leaf

SYMBOLS: Mapping[str, str] = {
    "input": "", "state": "", "constant": "", "parameter": "", "gradient": "", "number": "",  # their names
    "neg": "−", "add": "+", "sub": "−", "mul": "×", "div": "÷", "exp": "exp", "log": "log", "sqrt": "√",
    "tanh": "tanh", "sigmoid": "σ", "softplus": "softplus", "relu": "ReLU", "maximum": "max", "greater": ">",
    "where": "if", "stop": "stop", "matvec": "W", "transpose": "transpose", "sum": "Σ", "max": "max",
    "softmax": "softmax", "standardise": "norm", "spread": "spread", "outer": "outer", "collect": "Σ rows",
    "rdev": "1/σ",
}  # fmt: skip
"""Operation -> how it is written in a picture"""

_OPERANDS: Mapping[str, tuple[str, ...]] = {
    "sub": ("", "−"), "div": ("", "÷"), "greater": ("", "<"), "where": ("if", "then", "else"), "outer": ("", "ᵀ"),
}  # fmt: skip
"""What tells the operands of an operation apart, where their order matters"""

_ACTIVATIONS = {"sigmoid", "tanh", "relu", "softplus", "exp", "log", "sqrt", "softmax", "standardise"}
_ROUND = {"add", "sub", "mul", "div", "neg", "maximum", "greater"}
LINEAR = {"add", "sub", "mul", "where", "neg", "spread"}
"""What a state line runs straight through"""


@dataclass(frozen=True, slots=True)
class Read:
    """A value that a part reads: of which part, by which weight, as which operand."""

    source: str
    weight: str = ""
    operand: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a box of the picture stands for."""

    name: str
    kind: str
    """input | state | constant | weight | gradient | gate | valve | map"""
    label: str
    caption: str
    nodes: tuple[Node, ...]
    """The last is the value that others read."""
    reads: tuple[Read, ...] = ()

    @property
    def value(self) -> Node:
        """The node that others read."""
        return self.nodes[-1]


@dataclass(frozen=True)
class Parts:
    """The parts in the order of computation, and which of them each output is."""

    parts: tuple[Part, ...]
    outputs: Mapping[str, str]

    def part(self, name: str) -> Part:
        """The part of this name."""
        return self.by_name[name]

    @property
    def by_name(self) -> dict[str, Part]:
        """All of them by name."""
        return {p.name: p for p in self.parts}


def parts(graph: Graph) -> Parts:
    """Group the nodes of `graph`.

    >>> from rekur.graph import cell, gate, tanh
    >>> @cell
    ... def elman(x, h):
    ...     return gate("hidden", tanh, x, h)
    >>> [(p.name, p.label) for p in parts(elman.graph).parts]
    [('x', 'x_{t}'), ('h', 'h_{t−1}'), ('hidden', 'tanh')]
    """
    return _Grouping(graph).all()


def abbreviated(found: Parts, most: int) -> Parts:
    """At most `most` parts: where there are more, those in the middle of the order become one, "rest"."""
    leaves = sum(not p.reads for p in found.parts)
    inner = [p for p in found.parts if p.reads]
    more = len(found.parts) - most
    if more <= 0:
        return found
    keep = max(2, len(inner) - more - 1)
    first = (keep + 1) // 2
    gone = inner[first : len(inner) - (keep - first)]
    names = {p.name for p in gone}
    into = {p.name: "rest" if p.name in names else p.name for p in found.parts}

    def reads(parts: list[Part]) -> tuple[Read, ...]:
        """What they read of others; of the rest, no more than that it is read."""
        outside = [r for p in parts for r in p.reads if len(parts) == 1 or r.source not in names]
        named = [
            Read(into[r.source], "" if len(parts) > 1 else r.weight, "" if len(parts) > 1 else r.operand)
            for r in outside
        ]
        return tuple(dict.fromkeys(named)) if len(parts) > 1 else tuple(named)

    nodes = tuple(dict.fromkeys(n for p in gone for n in p.nodes))
    rest = Part("rest", "rest", "⋯", f"{len(gone)} more", nodes, reads(gone))
    out = []
    for p in found.parts:
        if p.name not in names:
            out.append(Part(p.name, p.kind, p.label, p.caption, p.nodes, reads([p])))
        elif p is gone[-1]:
            out.append(rest)
    assert len(out) <= max(most, leaves + 3)
    return Parts(tuple(out), {k: into[v] for k, v in found.outputs.items()})


class _Grouping:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: dict[Node, int] = {}
        for n in graph.nodes:
            for a in n.args:
                self.readers[a] = self.readers.get(a, 0) + 1
        self.called: dict[Node, list[str]] = {}
        for name, n in graph.names.items():
            self.called.setdefault(n, []).append(name)
        self.shown = {*graph.names.values(), *graph.outputs.values()}  # these are the last of a part
        self.inside: set[Node] = set()
        self.name_of: dict[Node, str] = {}
        self.sources: dict[tuple[str, int], Node] = {}  # (part, place of the read) -> what is read there
        self.place = {n: i for i, n in enumerate(graph.nodes)}

    def all(self) -> Parts:
        found: list[tuple[Node, Part]] = []
        for n in reversed(self.graph.nodes):
            if n in self.inside or (n.op in ("number", "parameter") and n not in self.shown):
                continue
            found.append((n, self.part(n)))
        found += [(n, self.leaf(n)) for n in self.graph.nodes if n.op == "parameter" and self._apart(n)]
        for n, part in found:
            self.name_of[n] = part.name
        done = []
        for _, part in sorted(found, key=lambda f: (bool(f[0].args), self.place[f[0]])):
            reads = tuple(
                Read(self.name_of[self.sources[part.name, i]], r.weight, r.operand) for i, r in enumerate(part.reads)
            )
            done.append(Part(part.name, part.kind, part.label, part.caption, part.nodes, reads))
        return Parts(tuple(done), {k: self.name_of[n] for k, n in self.graph.outputs.items() if n in self.name_of})

    # ---- one part -------------------------------------------------------------------------------------------

    def part(self, n: Node) -> Part:
        if not n.args:
            return self.leaf(n)
        absorbed: list[Node] = [n]
        top = n
        if n.op in _ACTIVATIONS and self._free(n.args[0]) and self._weighs(n.args[0]):
            top = n.args[0]
            absorbed.append(top)
        if self._weighs(top):
            reads: list[tuple[Node, str, str]] = []
            self._terms(top, reads, absorbed)
            label = SYMBOLS[n.op] if top is not n else "W"
            return self._made(n, "gate", label, absorbed, reads)
        label, reads = self._plain(n, absorbed)
        kind = "valve" if n.op in _ROUND and len(label) <= 2 and n not in self.called else "map"
        return self._made(n, kind, label, absorbed, reads)

    def _made(self, n: Node, kind: str, label: str, absorbed: list[Node], reads: list[tuple[Node, str, str]]) -> Part:
        name = self._own(n)
        self.inside.update(a for a in absorbed if a is not n)
        for i, (source, _, _) in enumerate(reads):
            self.sources[name, i] = source
        caption = ", ".join(self.called.get(n, []))
        unsaid = tuple(Read("", weight, operand) for _, weight, operand in reads)
        return Part(name, kind, label, caption, tuple(dict.fromkeys(reversed(absorbed))), unsaid)

    def leaf(self, n: Node) -> Part:
        caption = ", ".join(self.called.get(n, []))
        if n.op == "number":
            return Part(self._own(n), "weight", f"{n.attr:g}".replace("-", "−"), caption, (n,))
        leaf = n.leaf
        kind = {"parameter": "weight"}.get(n.op, n.op)
        step = {"input": "_{t}", "state": "_{t−1}"}.get(n.op, "")
        where = f"^{{({leaf.offset:+d})}}".replace("-", "−") if leaf.offset else ""
        return Part(self._own(n), kind, f"{leaf.name}{step}{where}", caption, (n,))

    def _own(self, n: Node) -> str:
        """The name of the part whose value is `n`."""
        if isinstance(n.attr, Leaf):
            return f"{n.leaf.name}{f'{n.leaf.offset:+d}' if n.leaf.offset else ''}"
        called = [c for c in self.called.get(n, []) if c not in {a.name for a in self.graph.arguments}]
        return called[0] if called else f"{n.op} {self.place[n]}"

    def _free(self, n: Node) -> bool:
        """Whether it can vanish into the part that reads it."""
        return self.readers.get(n) == 1 and n not in self.shown

    def _apart(self, n: Node) -> bool:
        """Whether a weight is read as a value by itself, so that it needs a box."""
        return n not in self.name_of and any(source is n for source in self.sources.values())

    # ---- sums with weights ------------------------------------------------------------------------------------

    def _weighs(self, n: Node) -> bool:
        """Whether it is a product with a matrix, or a sum that has one or a weight among its terms."""
        if n.op == "matvec":
            return True
        return n.op == "add" and any(a.op == "parameter" or (self._free(a) and self._weighs(a)) for a in n.args)

    def _terms(self, n: Node, reads: list[tuple[Node, str, str]], absorbed: list[Node]) -> None:
        """What a sum reads; the nodes on the way are `absorbed`."""
        if n.op == "matvec":
            matrix, turned = n.args[0], ""
            while matrix.op == "transpose":
                absorbed.append(matrix)
                matrix, turned = matrix.args[0], "" if turned else "^{T}"
            absorbed.append(matrix)
            reads.append((n.args[1], matrix.leaf.name + turned, ""))
            return
        for a in n.args:
            if a.op in ("parameter", "number"):
                absorbed.append(a)
            elif self._free(a) and a.op in ("add", "matvec"):
                absorbed.append(a)
                self._terms(a, reads, absorbed)
            elif self._free(a) and a.op == "mul" and [b.op for b in a.args].count("parameter") == 1:
                w, v = a.args if a.args[0].op == "parameter" else a.args[::-1]
                absorbed += [a, w]
                reads.append((v, w.leaf.name, ""))
            else:
                reads.append((a, "", ""))

    # ---- everything else --------------------------------------------------------------------------------------

    def _plain(self, n: Node, absorbed: list[Node]) -> tuple[str, list[tuple[Node, str, str]]]:
        """How an operation is written with the numbers and the one weight that it reads, and what else it reads."""
        operands = _OPERANDS.get(n.op, ("",) * len(n.args))
        still = [a for a in n.args if a.op not in ("number", "parameter")]
        said = {}
        for i, a in enumerate(n.args):
            if a.op == "number":
                said[i] = f"{a.attr:g}".replace("-", "−")
            elif a.op == "parameter" and still and n.op in ("mul", "div", "sub", "maximum", "greater"):
                said[i] = a.leaf.name
        absorbed += [n.args[i] for i in said]
        alone = len(n.args) - len(said) == 1
        reads = [
            (a, "", "" if alone and n.op != "where" else operands[i]) for i, a in enumerate(n.args) if i not in said
        ]
        symbol = SYMBOLS[n.op]
        if n.op == "where":
            more = "".join(f" {operands[i]} {text}" for i, text in said.items())
            return f"if{more}", reads
        if len(n.args) == 2 and said:
            left, right = said.get(0, ""), said.get(1, "")
            if n.op == "mul":
                left, right = left or right, ""
            return f"{left}{symbol}{right}", reads
        if isinstance(n.attr, str):
            return f"{symbol}_{{{n.attr}}}", reads
        return symbol + "".join(said.values()), reads
