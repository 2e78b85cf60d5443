"""An interpreter of graphs in numpy and float64, independent of the one that runs cells: for tests only.

A value is an array `(N, *axes)`, or `(*axes)` where its type is shared by all rows. Dead positions of a ragged
axis and dead rows are skipped by every reduction, and by the sums over rows; what they hold is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rekur.graph import EPSILON, Graph, Node, Type, walk

Array = NDArray[Any]
Values = Mapping[str, Array]
"""Leaf -> value, by `key`: the name, or ``h@-1`` for a lattice read."""

KINKS = {"relu", "maximum", "greater", "where", "max"}


@dataclass
class Numpy:
    """Evaluates graphs: sizes of the axes, number of rows, live rows and live positions of ragged axes."""

    sizes: Mapping[str, int]
    rows: int
    masks: Mapping[str, Array] = field(default_factory=dict)
    live: Array | None = None
    frozen: dict[Node, Array] | None = None
    """Filled with what `stop` let through when first evaluated: the point around which a derivative is taken."""

    def __call__(self, graph: Graph, values: Values) -> dict[str, Array]:
        """The outputs by name, at full size."""
        done = self.all(graph.outputs.values(), values)
        return {k: self.full(done[n], n.type) for k, n in graph.outputs.items()}

    def named(self, graph: Graph, values: Values) -> dict[str, Array]:
        """The values in the graph's table of names."""
        done = self.all(graph.names.values(), values)
        return {k: self.full(done[n], n.type) for k, n in graph.names.items()}

    def all(self, roots: Iterable[Node], values: Values) -> dict[Node, Array]:
        """Every value that the roots need."""
        done: dict[Node, Array] = {}
        with np.errstate(all="ignore"):
            for n in walk(roots):
                if n.op == "number":
                    done[n] = np.array(n.attr)
                elif not n.args:
                    done[n] = self.full(np.asarray(values[key(n)]), n.type)
                else:
                    done[n] = FUNCTIONS[n.op](self, n, [done[a] for a in n.args])
        return done

    def shape(self, kind: Type) -> tuple[int, ...]:
        return (self.rows,) * kind.rows + tuple(self.sizes[a] for a in kind.axes)

    def full(self, v: Array, kind: Type) -> Array:
        """A value at its full size; a count over a ragged axis has rows that its type does not know of."""
        shape = self.shape(kind)
        return np.broadcast_to(v, shape if v.ndim <= len(shape) else (self.rows, *shape))

    def kept(self, v: Array, kind: Type) -> Array:
        """`v` at full size with zeros where a row or a position is dead."""
        v = self.full(v, kind)
        if not kind.rows:
            return v
        for axis in kind.axes:
            if axis in self.masks:
                v = np.where(aligned(self.masks[axis], (axis,), kind.axes), v, 0.0)
        return v if self.live is None else np.where(self.live.reshape(-1, *[1] * len(kind.axes)), v, 0.0)


def key(n: Node) -> str:
    """How the value of a leaf is called."""
    return f"{n.leaf.name}@{n.leaf.offset:+d}" if n.leaf.offset else n.leaf.name


def aligned(v: Array, have: tuple[str, ...], want: tuple[str, ...]) -> Array:
    """`v` with its axes in the order of `want`, size 1 where it lacks one; a row stays in front."""
    lead = v.ndim - len(have)
    kept = [a for a in want if a in have]
    v = v.transpose(*range(lead), *[lead + have.index(a) for a in kept])
    return v[(slice(None),) * lead + tuple(slice(None) if a in have else None for a in want)]


Function = Callable[[Numpy, Node, list[Array]], Array]


def pointwise(f: Callable[..., Array]) -> Function:
    def function(_: Numpy, n: Node, args: list[Array]) -> Array:
        if n.type.matrix:
            return np.asarray(f(*args))  # the axes of a matrix have their places
        return f(*[aligned(v, a.axes, n.axes) for v, a in zip(args, n.args, strict=True)])

    return function


def reduction(f: Callable[[Array, Array, int], Array]) -> Function:
    """`f(v, live, axis)` over the axis that the operation names."""

    def function(e: Numpy, n: Node, args: list[Array]) -> Array:
        (a,) = n.args
        over = str(n.attr)
        v, live = e.full(args[0], a.type), np.array(True)
        if over in e.masks:
            live = aligned(e.masks[over], (over,), a.axes)
        v, live = np.broadcast_arrays(v, live)
        return f(v, live, v.ndim - len(a.axes) + a.axes.index(over))

    return function


def _softmax(v: Array, live: Array, axis: int) -> Array:
    v = np.where(live, v, -np.inf)
    z = np.exp(v - v.max(axis, keepdims=True))
    return np.where(live, z / z.sum(axis, keepdims=True), 0.0)


def _moments(v: Array, live: Array, axis: int) -> tuple[Array, Array]:
    """(v - mean, 1 / sqrt(variance + ε)), with the axis kept."""
    count = live.sum(axis, keepdims=True)
    centred = np.where(live, v - np.where(live, v, 0.0).sum(axis, keepdims=True) / count, 0.0)
    return centred, 1.0 / np.sqrt((centred**2).sum(axis, keepdims=True) / count + EPSILON)


def _standardise(v: Array, live: Array, axis: int) -> Array:
    centred, scale = _moments(v, live, axis)
    return centred * scale


def _matvec(e: Numpy, n: Node, args: list[Array]) -> Array:
    w, v = args
    inner, axes = n.args[0].axes[1], n.args[1].axes
    if inner in e.masks:
        v = np.where(aligned(e.masks[inner], (inner,), axes), v, 0.0)
    axis = v.ndim - len(axes) + axes.index(inner)
    return np.moveaxis(np.tensordot(w, v, (1, axis)), 0, axis)


def _outer(e: Numpy, n: Node, args: list[Array]) -> Array:
    d, v = (e.kept(x, Type(a.axes, True)) for x, a in zip(args, n.args, strict=True))
    (out, inner), (da, va) = n.axes, (a.axes for a in n.args)
    d = np.moveaxis(d, 1 + da.index(out), -1)
    v = np.moveaxis(v, 1 + va.index(inner), -1)
    rest = tuple(a for a in da if a != out)
    v = aligned(v, (*(a for a in va if a != inner), "last"), (*rest, "last"))
    return np.asarray(d.reshape(-1, d.shape[-1]).T @ v.reshape(-1, v.shape[-1]))


def _collect(e: Numpy, n: Node, args: list[Array]) -> Array:
    return np.asarray(e.kept(args[0], Type(n.axes, True)).sum(0))


def _stop(e: Numpy, n: Node, args: list[Array]) -> Array:
    return args[0] if e.frozen is None else np.asarray(e.frozen.setdefault(n, args[0]))


FUNCTIONS: Mapping[str, Function] = {
    "neg": pointwise(np.negative),
    "add": pointwise(np.add),
    "sub": pointwise(np.subtract),
    "mul": pointwise(np.multiply),
    "div": pointwise(np.divide),
    "exp": pointwise(np.exp),
    "log": pointwise(np.log),
    "sqrt": pointwise(np.sqrt),
    "tanh": pointwise(np.tanh),
    "sigmoid": pointwise(lambda v: np.exp(-np.logaddexp(0.0, -v))),
    "softplus": pointwise(lambda v: np.logaddexp(0.0, v)),
    "relu": pointwise(lambda v: np.maximum(v, 0.0)),
    "maximum": pointwise(np.maximum),
    "greater": pointwise(lambda a, b: np.where(a > b, 1.0, 0.0)),
    "where": pointwise(lambda test, a, b: np.asarray(np.where(test != 0, a, b))),
    "stop": _stop,
    "matvec": _matvec,
    "transpose": lambda e, n, args: args[0].T,
    "sum": reduction(lambda v, live, axis: np.where(live, v, 0.0).sum(axis)),
    "max": reduction(lambda v, live, axis: np.where(live, v, -np.inf).max(axis)),
    "softmax": reduction(_softmax),
    "standardise": reduction(_standardise),
    "rdev": reduction(lambda v, live, axis: _moments(v, live, axis)[1].squeeze(axis)),
    "spread": lambda e, n, args: e.full(aligned(args[0], n.args[0].axes, n.axes), n.type),
    "outer": _outer,
    "collect": _collect,
}


def choices(done: Mapping[Node, Array]) -> dict[Node, Array]:
    """Which way each comparison went: two points with equal choices have no kink between them."""
    return {n: _choice(n, [done[a] for a in n.args], done[n]) for n in done if n.op in KINKS}


def _choice(n: Node, args: list[Array], v: Array) -> Array:
    if n.op == "max":
        axis = args[0].ndim - len(n.args[0].axes) + n.args[0].axes.index(str(n.attr))
        return np.asarray(args[0].argmax(axis))
    if n.op == "maximum":
        a, b = (aligned(x, arg.axes, n.axes) for x, arg in zip(args, n.args, strict=True))
        return np.asarray(a > b)
    return np.asarray(args[0] != 0) if n.op == "where" else np.asarray(v > 0)
