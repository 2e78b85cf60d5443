"""The step graph: immutable, hash-consed nodes and the graph that holds them with its signature and names."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NoReturn, Protocol

from rekur.errors import CellError, GraphError
from rekur.graph.ops import OPS, Attr, Leaf, Type


class Node:
    """One operation on nodes. Equal nodes are the same object, so `is` compares expressions.

    Nodes are made by `make`, or by Python's operators on nodes while a cell is traced.
    """

    __slots__ = ("__weakref__", "args", "attr", "op", "type")
    __array_ufunc__ = None  # numpy must not take a node apart element by element

    op: str
    args: tuple[Node, ...]
    attr: Attr
    type: Type

    @property
    def axes(self) -> tuple[str, ...]:
        """The named axes of the value, besides the row of the batch."""
        return self.type.axes

    @property
    def leaf(self) -> Leaf:
        """The description of a leaf other than a number."""
        if not isinstance(self.attr, Leaf):
            raise GraphError(f"{self!r} is not a named leaf")
        return self.attr

    def like(self, op: str, *args: Node | float, attr: Attr = None) -> Node:
        """Another node of the graph; how derivative rules reach `make`."""
        return make(op, *args, attr=attr)

    def __repr__(self) -> str:
        name = f" {self.attr.name}" if isinstance(self.attr, Leaf) else ""
        return f"<{self.op}{name} {self.type}>"

    def __add__(self, other: Node | float) -> Node:
        return make("add", self, other)

    def __radd__(self, other: float) -> Node:
        return make("add", other, self)

    def __sub__(self, other: Node | float) -> Node:
        return make("sub", self, other)

    def __rsub__(self, other: float) -> Node:
        return make("sub", other, self)

    def __mul__(self, other: Node | float) -> Node:
        return make("mul", self, other)

    def __rmul__(self, other: float) -> Node:
        return make("mul", other, self)

    def __truediv__(self, other: Node | float) -> Node:
        return make("div", self, other)

    def __rtruediv__(self, other: float) -> Node:
        return make("div", other, self)

    def __neg__(self) -> Node:
        return make("neg", self)

    def __pos__(self) -> Node:
        return self

    def __gt__(self, other: Node | float) -> Node:
        return make("greater", self, other)

    def __lt__(self, other: Node | float) -> Node:
        return make("greater", other, self)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            _refuse("==", "compare with > or < and choose with where()")
        return self is other


def _refuse(what: str, instead: str) -> NoReturn:
    raise CellError(f"{what} is not in the cell language; {instead}")


def _refused(what: str, instead: str) -> Callable[..., NoReturn]:
    def operator(*_: object) -> NoReturn:
        _refuse(what, instead)

    return operator


_COMPARE = "compare with > or <"
_VECTOR = "a value is a whole vector; weights pick from it by a product"
_TRUTH = "it has no truth value while the step is traced; choose with where(test, a, b)"
for _name, _what, _instead in (
    ("pow", "**", "write h * h, or exp(k * log(h)) for other powers"),
    ("rpow", "**", "write exp(h * log(base))"),
    ("matmul", "@", "products are made by affine(name, ...)"),
    ("rmatmul", "@", "products are made by affine(name, ...)"),
    ("floordiv", "//", "divide with /"),
    ("mod", "%", "there is no remainder"),
    ("abs", "abs()", "write maximum(h, -h)"),
    ("ge", ">=", _COMPARE),
    ("le", "<=", _COMPARE),
    ("and", "&", "multiply two tests"),
    ("or", "|", "take the maximum of two tests"),
    ("invert", "~", "write 1 - test"),
    ("getitem", "[...]", _VECTOR),
    ("iter", "iteration over a value", _VECTOR),
    ("len", "len()", _VECTOR),
    ("contains", "in", _VECTOR),
    ("bool", "branching on a value", _TRUTH),
    ("float", "float()", _TRUTH),
    ("int", "int()", _TRUTH),
):
    setattr(Node, f"__{_name}__", _refused(_what, _instead))


# ---- making nodes ------------------------------------------------------------------------------------------


class Listener(Protocol):
    """Who hears of nodes as they are made and knows what they are called: the tracer."""

    def heard(self, node: Node) -> None:
        """A node was asked for; it may have existed before."""

    def describe(self, node: Node) -> str:
        """The node in words, for errors."""


listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_interned: weakref.WeakValueDictionary[tuple[object, ...], Node] = weakref.WeakValueDictionary()
_intern_lock = threading.Lock()


def lift(value: Node | float) -> Node:
    """A node as it is, a Python number as a `number` node."""
    if isinstance(value, Node):
        return value
    if isinstance(value, bool | int | float):
        return make("number", attr=float(value))
    raise CellError(
        f"{type(value).__module__}.{type(value).__name__} is not a value of the cell language; "
        "hand a tensor in as a constant (an argument after *) or make it a weight(name)"
    )


def make(op: str, *args: Node | float, attr: Attr = None) -> Node:
    """The node `op(*args)`; always the same object for the same expression.

    Raises GraphError where the shapes do not fit, as the row of `op` in `ops.OPS` says.
    """
    row = OPS.get(op)
    if row is None:
        raise GraphError(f"there is no operation {op!r}")
    nodes = tuple(lift(a) for a in args)
    if len(nodes) != row.arity:
        raise GraphError(f"{op} takes {row.arity} arguments, got {len(nodes)}")
    mark = attr.hex() if isinstance(attr, float) else attr  # 0.0 and -0.0 are equal, yet not the same number
    key = (op, *map(id, nodes), mark)
    heard = listener.get()
    with _intern_lock:
        node = _interned.get(key)
    if node is None:
        try:
            kind = row.shape(tuple(n.type for n in nodes), attr)
        except GraphError as e:
            of = ", ".join(heard.describe(n) if heard else repr(n) for n in nodes)
            raise GraphError(f"{op} of {of}: {e}" if of else f"{op}: {e}") from None
        node = Node()
        node.op, node.args, node.attr, node.type = op, nodes, attr, kind
        with _intern_lock:
            node = _interned.setdefault(key, node)
    if heard:
        heard.heard(node)
    return node


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node the roots need, arguments before their readers; no recursion, so depth has no limit."""
    seen: set[Node] = set()
    todo = [(n, False) for n in reversed(list(roots))]
    while todo:
        node, ready = todo.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo.extend((a, False) for a in reversed(node.args) if a not in seen)


# ---- the graph ---------------------------------------------------------------------------------------------

Kind = Literal["input", "state", "constant", "gradient"]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of the step: an input of every step, a state, or a constant of the sequence."""

    kind: Kind
    name: str
    axes: tuple[str, ...]
    initial: float = 0.0
    """What a state holds before the first step."""


@dataclass(frozen=True, eq=False)
class Graph:
    """One step as a graph: signature, outputs, names, nodes.

    `outputs` of a cell are its next states, in the order of its states; the first is what a layer puts out.
    `names` are roles ("forget", "candidate"); two names may stand for one node. `nodes` is the author's order.
    """

    name: str
    arguments: tuple[Argument, ...]
    outputs: Mapping[str, Node]
    names: Mapping[str, Node] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        live = list(walk([*self.outputs.values(), *self.names.values()]))
        if self.nodes:
            alive = set(live)
            live = [n for n in self.nodes if n in alive]
        object.__setattr__(self, "nodes", tuple(live))
        object.__setattr__(self, "outputs", MappingProxyType(dict(self.outputs)))
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def __reduce__(self) -> tuple[Callable[[str], Graph], tuple[str]]:
        from rekur.graph.text import parse, to_text

        return parse, (to_text(self),)

    def of(self, *kinds: Kind) -> tuple[Argument, ...]:
        """The arguments of the given kinds, in order."""
        found = self._of.get(kinds)
        if found is None:
            found = self._of[kinds] = tuple(a for a in self.arguments if a.kind in kinds)
        return found

    @cached_property
    def _of(self) -> dict[tuple[Kind, ...], tuple[Argument, ...]]:
        return {}

    @cached_property
    def parameters(self) -> Mapping[str, Leaf]:
        """Name -> description of every weight, in the author's order."""
        return MappingProxyType({n.leaf.name: n.leaf for n in self.nodes if n.op == "parameter"})

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Every axis letter that the graph uses, in order of appearance."""
        seen = [a for arg in self.arguments for a in arg.axes]
        return tuple(dict.fromkeys([*seen, *(a for n in self.nodes for a in n.axes)]))

    @cached_property
    def reads_neighbours(self) -> bool:
        """Whether a step at one site of a lattice reads states of others."""
        return any(n.op == "state" and n.leaf.offset for n in self.nodes)

    def named(self, name: str) -> Node:
        """The node of an output or of a name; what recording and extra outputs ask for."""
        from rekur.errors import suggest

        node = self.names.get(name, self.outputs.get(name))
        if node is None:
            known = [*self.names, *self.outputs]
            raise GraphError(f"{self.name} has no value named {name!r}{suggest(name, known)}")
        return node
