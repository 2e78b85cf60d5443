"""The text of a graph: printing and parsing are inverse. Two hashes: of the full text, and of the structure.

One line an item::

    rekur 1 elman
    input x [I]
    state h [H] = 0.0
    parameter hidden.x [H I] matrix uniform
    %0 = matvec(hidden.x, x) [H]
    …
    name hidden = %5
    output h = %5
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from rekur.errors import CellError, GraphError
from rekur.graph.ir import Argument, Graph, Kind, Node, make, walk
from rekur.graph.ops import OPS, Attr, Leaf
from rekur.graph.verify import MAX_NODES, MAX_RANK, verify

VERSION = 1
MAX_CHARACTERS = 2_000_000
_COMMUTATIVE = {"add", "mul", "maximum"}


def to_text(graph: Graph) -> str:
    """The graph as text, in the author's order; `parse` reads it back to the same nodes."""
    lines = [f"rekur {VERSION} {graph.name}"]
    for a in graph.arguments:
        tail = f" = {a.initial!r}" if a.kind == "state" else ""
        lines.append(f"{a.kind} {a.name} [{' '.join(a.axes)}]{tail}")
    ids: dict[Node, str] = {}
    count = 0
    for n in graph.nodes:
        if n.op == "number":
            ids[n] = repr(n.attr)
        elif n.op == "parameter":
            ids[n] = n.leaf.name
            kind = "matrix" if n.leaf.matrix else "vector"
            lines.append(f"parameter {n.leaf.name} [{' '.join(n.axes)}] {kind} {n.leaf.init}")
        elif isinstance(n.attr, Leaf):
            ids[n] = f"{n.leaf.name}@{n.leaf.offset:+d}" if n.leaf.offset else n.leaf.name
        else:
            ids[n] = f"%{count}"
            count += 1
            args = ", ".join(ids[a] for a in n.args)
            lines.append(f"{ids[n]} = {n.op}({args}){_attr_text(n.attr)} {n.type}")
    lines += [f"name {k} = {ids[v]}" for k, v in graph.names.items()]
    lines += [f"output {k} = {ids[v]}" for k, v in graph.outputs.items()]
    return "\n".join(lines) + "\n"


def _attr_text(attr: Attr) -> str:
    if attr is None:
        return ""
    return f" <{attr if isinstance(attr, str) else ' '.join(map(str, attr))}>"  # type: ignore[arg-type]


_ID = r"[%A-Za-z][A-Za-z0-9_.]*(?:@[+-]\d{1,6})?|-?(?:inf|\d[0-9.e+-]*)"
_LINES = {
    "argument": re.compile(r"(input|state|constant|gradient) (\S+) \[([^\]]*)\](?: = (\S+))?"),
    "parameter": re.compile(r"parameter (\S+) \[([^\]]*)\] (matrix|vector) (\S+)"),
    "node": re.compile(rf"(%\d+) = (\w+)\(((?:{_ID})(?:, (?:{_ID}))*)\)(?: <([^>]*)>)? \[([^\]]*)\]"),
    "name": re.compile(rf"name (\S+) = ({_ID})"),
    "output": re.compile(rf"output (\S+) = ({_ID})"),
}


def parse(text: str) -> Graph:
    """The graph that `to_text` wrote. Never runs anything; GraphError says which line is not understood.

    Limits: 2 million characters, 20 000 nodes, names of 64 characters, four axes.
    """
    if len(text) > MAX_CHARACTERS:
        raise GraphError(f"a graph of {len(text)} characters; the limit is {MAX_CHARACTERS}")
    lines = text.split("\n")
    head = re.fullmatch(r"rekur (\d{1,6}) (\S+)", lines[0])
    if head is None:
        raise GraphError("this is not the text of a step graph: it does not begin with 'rekur VERSION NAME'")
    if int(head[1]) > VERSION:
        raise GraphError(f"the graph has text version {head[1]}, this rekur reads up to {VERSION}: upgrade rekur")
    if len(lines) > 3 * MAX_NODES:
        raise GraphError(f"a graph of {len(lines)} lines; the limit is {3 * MAX_NODES}")
    reader = _Reader(head[2])
    for number, line in enumerate(lines[1:], 2):
        if line:
            try:
                reader.read(line)
            except (GraphError, CellError, ValueError) as e:
                raise GraphError(f"line {number} of graph {head[2]!r}: {e}") from None
    return verify(reader.graph())


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.arguments: list[Argument] = []
        self.known: dict[str, Node] = {}
        self.order: dict[Node, None] = {}
        self.names: dict[str, Node] = {}
        self.outputs: dict[str, Node] = {}

    def read(self, line: str) -> None:
        for kind, pattern in _LINES.items():
            if (m := pattern.fullmatch(line)) is not None:
                do: Callable[..., None] = getattr(self, f"_{kind}")
                do(*m.groups())
                return
        raise GraphError(f"{line[:80]!r} is not understood")

    def graph(self) -> Graph:
        return Graph(self.name, tuple(self.arguments), self.outputs, self.names, tuple(self.order))

    def _enter(self, key: str, node: Node) -> None:
        if key in self.known:
            raise GraphError(f"{key!r} stands twice")
        self.known[key] = node
        self.order.setdefault(node)

    def _argument(self, kind: Kind, name: str, axes: str, initial: str | None) -> None:
        if initial is not None and kind != "state":
            raise GraphError(f"{name!r}: only a state has an initial value")
        a = Argument(kind, name, _axes(axes), float(initial or 0.0))
        self.arguments.append(a)
        self._enter(name, make(kind, attr=Leaf(name, a.axes)))

    def _parameter(self, name: str, axes: str, kind: str, init: str) -> None:
        self._enter(name, make("parameter", attr=Leaf(name, _axes(axes), 0, init, kind == "matrix")))

    def _node(self, key: str, op: str, args: str, attr: str | None, axes: str) -> None:
        if op not in OPS or OPS[op].kind == "leaf":
            raise GraphError(f"there is no operation {op!r}")
        value: Attr = attr
        if op in ("spread", "outer"):
            value = _axes(attr or "")
        node = make(op, *[self._get(a) for a in args.split(", ")], attr=value)
        if node.axes != _axes(axes):
            raise GraphError(f"{key} is said to have [{axes}], it has {node.type}")
        self._enter(key, node)

    def _name(self, name: str, key: str) -> None:
        if name in self.names:
            raise GraphError(f"{name!r} is named twice")
        self.names[name] = self._get(key)

    def _output(self, name: str, key: str) -> None:
        if name in self.outputs:
            raise GraphError(f"{name!r} is put out twice")
        self.outputs[name] = self._get(key)

    def _get(self, key: str) -> Node:
        node = self.known.get(key)
        if node is None and "@" in key:
            name, _, offset = key.partition("@")
            state = self._get(name)
            node = make(state.op, attr=Leaf(name, state.axes, int(offset)))
        elif node is None and re.match(r"-?[\di]", key):
            node = make("number", attr=float(key))
        if node is None:
            raise GraphError(f"{key!r} is used before it is defined")
        self.order.setdefault(node)
        return node


def _axes(text: str) -> tuple[str, ...]:
    axes = tuple(text.split())
    if len(axes) > MAX_RANK:
        raise GraphError(f"[{text[:40]}] has more than {MAX_RANK} axes")
    return axes


def text_hash(graph: Graph) -> str:
    """SHA-256 of the full text: the same author's graph, names and all."""
    return hashlib.sha256(to_text(graph).encode()).hexdigest()


def structure_hash(graph: Graph) -> str:
    """SHA-256 of the structure with all names erased: the same computation, whatever its parts are called.

    Initialisations and the values states start from are erased too; the order of the operands of sums,
    products and maxima does not matter. Axis letters and the order of arguments do.
    """
    return hashlib.sha256("\n".join(_structure(graph)[0]).encode()).hexdigest()


def same_structure(a: Graph, b: Graph) -> dict[str, str] | None:
    """Weight name in `a` -> weight name in `b` where both have one structure, else None."""
    lines_a, weights_a = _structure(a)
    lines_b, weights_b = _structure(b)
    return dict(zip(weights_a, weights_b, strict=True)) if lines_a == lines_b else None


def _structure(graph: Graph) -> tuple[list[str], list[str]]:
    """The structure in canonical lines, and the names of the weights in the order of the lines."""
    roots = list(graph.outputs.values())
    colour = _colours(graph)
    lines, weights = [], []
    number: dict[Node, int] = {}
    todo = [(n, False) for n in reversed(roots)]
    while todo:  # depth first with the operands in their canonical order: gives weights canonical numbers
        n, ready = todo.pop()
        if n in number:
            continue
        args = sorted(n.args, key=colour.__getitem__) if n.op in _COMMUTATIVE else n.args
        if not ready:
            todo.append((n, True))
            todo.extend((a, False) for a in reversed(args))
            continue
        number[n] = len(number)
        lines.append(colour[n] if not n.args else f"{n.op}{n.attr!r}{[number[a] for a in args]}")
        if n.op == "parameter":
            weights.append(n.leaf.name)
    return [*lines, *(str(number[n]) for n in roots)], weights


def _colours(graph: Graph) -> dict[Node, str]:
    """A digest a node of what it is, what it reads and what reads it, names aside; refined until it tells no
    more nodes apart. It puts the operands of commutative operations in an order that does not depend on the
    author's.
    """
    place = {(a.kind, a.name): f"{a.kind}{i}" for i, a in enumerate(graph.arguments)}
    order = list(walk(graph.outputs.values()))
    colour: dict[Node, str] = {}
    for n in order:
        if isinstance(n.attr, Leaf):
            own = "parameter" if n.op == "parameter" else place[n.op, n.leaf.name]  # type: ignore[index]
            colour[n] = f"{own}{n.leaf.offset}{n.axes}{n.leaf.matrix}"
        else:
            colour[n] = f"{n.op}{n.attr!r}{n.axes}"
    apart = 0
    while apart < (apart := len(set(colour.values()))):
        for n in order:
            read = [colour[a] for a in n.args]
            colour[n] = _digest([colour[n], *(sorted(read) if n.op in _COMMUTATIVE else read)])
        readers: dict[Node, list[str]] = {n: [] for n in order}
        for i, n in enumerate(graph.outputs.values()):
            readers[n].append(f"output{i}")
        for n in reversed(order):
            colour[n] = _digest([colour[n], *sorted(readers[n])])
            for i, a in enumerate(n.args):
                readers[a].append(colour[n] if n.op in _COMMUTATIVE else f"{colour[n]}{i}")
    return colour


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
