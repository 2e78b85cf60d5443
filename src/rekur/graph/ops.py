"""The closed vocabulary of the cell language: one row an operation, with its shape rule and its derivative.

A value is (per row of the batch or shared; named axes); matrices are a kind of their own. In pointwise
operations the axes of one operand contain those of the others; anything else is explicit.

Every consumer (the reference, the kernels, the text, the pictures) has a table of its own over `OPS`, and a
test that the table is total or refuses by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rekur.errors import GraphError

if TYPE_CHECKING:
    from rekur.graph.ir import Node

EPSILON = 1e-5
"""Added to the variance by `standardise`, as torch.nn.LayerNorm does."""


@dataclass(frozen=True, slots=True)
class Type:
    """What a node stands for: its named axes, whether it differs from row to row, whether it is a matrix."""

    axes: tuple[str, ...] = ()
    rows: bool = False
    matrix: bool = False

    def __str__(self) -> str:
        return f"[{' '.join(self.axes)}]"


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a leaf carries: its name and axes; a state's lattice offset; a parameter's initialisation."""

    name: str
    axes: tuple[str, ...]
    offset: int = 0
    init: str = ""
    matrix: bool = False


Attr = None | float | str | tuple[str, ...] | Leaf
"""None; a number's value; the axis of a reduction; the axes of spread and outer; a leaf's description."""

Shape = Callable[[tuple[Type, ...], Attr], Type]
Derivative = Callable[["Node", "Node"], tuple["Node | None", ...]]
"""(node, gradient of the loss in its value) -> the gradient in each argument, before broadcasting is undone."""


@dataclass(frozen=True, slots=True)
class Op:
    """A row of the table. `derivative` is None where there is none: leaves, and what only derived graphs hold."""

    name: str
    arity: int
    shape: Shape
    derivative: Derivative | None = None
    kind: str = "pointwise"
    """leaf | pointwise | product | reduction (both end a stage of the step) | layout | derived"""


# ---- shape rules ------------------------------------------------------------------------------------------


def _leaf(rows: bool) -> Shape:
    def shape(_: tuple[Type, ...], attr: Attr) -> Type:
        if not isinstance(attr, Leaf):
            raise GraphError(f"a leaf needs a name and axes, not {attr!r}")
        if attr.matrix and len(attr.axes) != 2:
            raise GraphError(f"the matrix {attr.name!r} needs two axes, not [{' '.join(attr.axes)}]")
        if not attr.matrix and len(set(attr.axes)) != len(attr.axes):
            raise GraphError(f"{attr.name!r}: an axis stands twice in [{' '.join(attr.axes)}]")
        return Type(attr.axes, rows, attr.matrix)

    return shape


def _number(_: tuple[Type, ...], attr: Attr) -> Type:
    if not isinstance(attr, float) or attr != attr:
        raise GraphError(f"a number must be a float and not NaN, got {attr!r}")
    return Type()


def _plain(attr: Attr) -> None:
    if attr is not None:
        raise GraphError(f"the operation has no attribute, and {attr!r} was given")


def _pointwise(args: tuple[Type, ...], attr: Attr) -> Type:
    _plain(attr)
    widest = max(args, key=lambda a: len(a.axes))
    for a in args:
        if a.matrix:
            raise GraphError(f"a weight matrix {a} is read by a product only, never pointwise")
        if not set(a.axes) <= set(widest.axes):
            raise GraphError(
                f"the axes {widest} and {a} do not nest; give an affine the size it should have, or spread() one"
            )
    return Type(widest.axes, any(a.rows for a in args))


def _add(args: tuple[Type, ...], attr: Attr) -> Type:
    if args[0] == args[1] and args[0].matrix and attr is None:  # the gradients in a weight that is used twice
        return args[0]
    return _pointwise(args, attr)


def _matvec(args: tuple[Type, ...], attr: Attr) -> Type:
    _plain(attr)
    w, v = args
    if not w.matrix or v.matrix:
        raise GraphError("matvec takes a matrix and a value")
    out, inner = w.axes
    if inner not in v.axes:
        raise GraphError(f"the weight {w} expects a value with the axis {inner}, got {v}")
    if out != inner and out in v.axes:
        raise GraphError(f"the product would have the axis {out} twice: weight {w}, value {v}")
    return Type(tuple(out if a == inner else a for a in v.axes), v.rows)


def _transpose(args: tuple[Type, ...], attr: Attr) -> Type:
    _plain(attr)
    if not args[0].matrix:
        raise GraphError("transpose takes a matrix; the axes of a value have names and need no order")
    return Type(args[0].axes[::-1], False, True)


def _axis(args: tuple[Type, ...], attr: Attr) -> Type:
    if args[0].matrix or not isinstance(attr, str) or attr not in args[0].axes:
        raise GraphError(f"the value {args[0]} has no axis {attr!r} to go over")
    return args[0]


def _reduce(args: tuple[Type, ...], attr: Attr) -> Type:
    a = _axis(args, attr)
    return Type(tuple(x for x in a.axes if x != attr), a.rows)


def _spread(args: tuple[Type, ...], attr: Attr) -> Type:
    (a,) = args
    if not isinstance(attr, tuple) or a.matrix or not set(a.axes) <= set(attr) or len(set(attr)) != len(attr):
        raise GraphError(f"cannot spread {a} over the axes {attr!r}")
    return Type(attr, a.rows)


def _outer(args: tuple[Type, ...], attr: Attr) -> Type:
    d, v = args
    if not isinstance(attr, tuple) or len(attr) != 2:
        raise GraphError(f"outer makes a matrix of two axes, not {attr!r}")
    out, inner = attr
    if out not in d.axes or inner not in v.axes or set(d.axes) - {out} != set(v.axes) - {inner}:
        raise GraphError(f"outer of {d} and {v} does not make a matrix [{out} {inner}]")
    return Type(attr, False, True)


def _collect(args: tuple[Type, ...], attr: Attr) -> Type:
    _plain(attr)
    return Type(args[0].axes, False)


# ---- derivatives ------------------------------------------------------------------------------------------
# They are written with the operators of Node, so they make graph nodes; `ir` is imported at call time by Node
# itself, never here: the table stays free of the nodes it describes.


def _d_mul(n: Node, d: Node) -> tuple[Node, ...]:
    a, b = n.args
    return d * b, d * a


def _d_div(n: Node, d: Node) -> tuple[Node, ...]:
    b = n.args[1]
    return d / b, -(d * n / b)


def _d_relu(n: Node, d: Node) -> tuple[Node, ...]:
    return (n.like("where", n > 0.0, d, 0.0),)


def _d_maximum(n: Node, d: Node) -> tuple[Node, ...]:
    a, b = n.args
    lean = 0.5 * ((a > b) - (b > a))  # ties share evenly, as in torch
    return d * (0.5 + lean), d * (0.5 - lean)


def _d_where(n: Node, d: Node) -> tuple[Node | None, ...]:
    test = n.args[0]
    return None, n.like("where", test, d, 0.0), n.like("where", test, 0.0, d)


def _d_matvec(n: Node, d: Node) -> tuple[Node, ...]:
    w, v = n.args
    return n.like("outer", d, v, attr=w.axes), n.like("matvec", n.like("transpose", w), d)


def _d_sum(n: Node, d: Node) -> tuple[Node, ...]:
    return (n.like("spread", d, attr=n.args[0].axes),)


def _d_max(n: Node, d: Node) -> tuple[Node, ...]:
    hit = 1.0 - (n > n.args[0])  # ties share evenly, as torch.amax
    return (d * (hit / n.like("sum", hit, attr=n.attr)),)


def _d_softmax(n: Node, d: Node) -> tuple[Node, ...]:
    return (n * (d - n.like("sum", d * n, attr=n.attr)),)


def _d_standardise(n: Node, d: Node) -> tuple[Node, ...]:
    def mean(v: Node) -> Node:
        full = n.like("spread", v, attr=n.axes)
        ones = n.like("spread", 1.0, attr=(str(n.attr),))
        return n.like("sum", full, attr=n.attr) / n.like("sum", ones, attr=n.attr)

    return (n.like("rdev", n.args[0], attr=n.attr) * (d - mean(d) - n * mean(d * n)),)


def _table(*rows: Op) -> dict[str, Op]:
    return {row.name: row for row in rows}


OPS: dict[str, Op] = _table(
    # leaves
    Op("input", 0, _leaf(True), kind="leaf"),
    Op("state", 0, _leaf(True), kind="leaf"),
    Op("constant", 0, _leaf(True), kind="leaf"),
    Op("parameter", 0, _leaf(False), kind="leaf"),
    Op("gradient", 0, _leaf(True), kind="leaf"),  # of an output; derived graphs only
    Op("number", 0, _number, kind="leaf"),
    # pointwise
    Op("neg", 1, _pointwise, lambda n, d: (-d,)),
    Op("add", 2, _add, lambda n, d: (d, d)),
    Op("sub", 2, _pointwise, lambda n, d: (d, -d)),
    Op("mul", 2, _pointwise, _d_mul),
    Op("div", 2, _pointwise, _d_div),
    Op("exp", 1, _pointwise, lambda n, d: (d * n,)),
    Op("log", 1, _pointwise, lambda n, d: (d / n.args[0],)),
    Op("sqrt", 1, _pointwise, lambda n, d: (d * 0.5 / n,)),
    Op("tanh", 1, _pointwise, lambda n, d: (d * (1.0 - n * n),)),
    Op("sigmoid", 1, _pointwise, lambda n, d: (d * (n * (1.0 - n)),)),
    Op("softplus", 1, _pointwise, lambda n, d: (d * n.like("sigmoid", n.args[0]),)),
    Op("relu", 1, _pointwise, _d_relu),
    Op("maximum", 2, _pointwise, _d_maximum),
    Op("greater", 2, _pointwise, lambda n, d: (None, None)),
    Op("where", 3, _pointwise, _d_where),
    Op("stop", 1, _pointwise, lambda n, d: (None,)),
    # products, reductions, layout
    Op("matvec", 2, _matvec, _d_matvec, "product"),
    Op("transpose", 1, _transpose, lambda n, d: (n.like("transpose", d),), "layout"),
    Op("sum", 1, _reduce, _d_sum, "reduction"),
    Op("max", 1, _reduce, _d_max, "reduction"),
    Op("softmax", 1, _axis, _d_softmax, "reduction"),
    Op("standardise", 1, _axis, _d_standardise, "reduction"),
    Op("spread", 1, _spread, lambda n, d: (d,), "layout"),
    # in derived graphs only
    Op("outer", 2, _outer, kind="derived"),
    Op("collect", 1, _collect, kind="derived"),
    Op("rdev", 1, _reduce, kind="derived"),
)
