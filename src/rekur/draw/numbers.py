"""A graph with numbers, in plain Python: for the few numbers that a picture or a page can show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from rekur.errors import ShapeError
from rekur.graph import EPSILON, Graph, Node, walk

Value = dict[tuple[int, ...], float]
"""Place along each axis -> number"""
Nested = float | list[Any]


def evaluate(roots: Iterable[Node], leaves: Mapping[Node, Value], sizes: Mapping[str, int]) -> dict[Node, Value]:
    """Every value that the roots need, of one row; a value that is not finite may come out."""
    done = dict(leaves)
    for n in walk(roots):
        if n not in done:
            done[n] = _FUNCTIONS[n.op](n, [done[a] for a in n.args], sizes)
    return done


def leaves_of(
    graph: Graph, values: Mapping[str, Nested], sizes: Mapping[str, int] | None = None
) -> tuple[dict[Node, Value], dict[str, int]]:
    """The leaves of `graph` with their values, by name in `values`; and the sizes of all axes.

    A value is a number, or as many lists in each other as it has axes. A state that is not given holds what it
    starts from. `sizes` are those of axes that no value has. ShapeError where a value or a size is missing.
    """
    known: dict[str, int] = {}
    axes = {a.name: a.axes for a in graph.arguments} | {k: leaf.axes for k, leaf in graph.parameters.items()}
    given = {name: _flat(name, v, axes[name], known) for name, v in values.items() if name in axes}
    known = {**(sizes or {}), **known}
    initial = {a.name: a.initial for a in graph.of("state")}
    leaves = [n for n in graph.nodes if not n.args and n.op != "number"]
    for n in leaves:
        if n.leaf.name not in given and n.leaf.name not in initial:
            of = f" [{' '.join(n.axes)}]" if n.axes else ""
            raise ShapeError(f"{graph.name}: no value was given for {n.leaf.name!r}{of}")
    for axis in graph.axes:
        if axis not in known:
            raise ShapeError(f"{graph.name}: no value says how large its axis {axis} is: give one to what has it")
    return {n: _leaf(n, given, initial, known) for n in leaves}, known


def _leaf(n: Node, given: Mapping[str, Value], initial: Mapping[str, float], sizes: Mapping[str, int]) -> Value:
    """What a leaf holds; a neighbour, of which nothing is known, holds zero."""
    if n.leaf.name in given and not n.leaf.offset:
        return given[n.leaf.name]
    return dict.fromkeys(places(n.axes, sizes), 0.0 if n.leaf.offset else initial[n.leaf.name])


def _flat(name: str, value: Nested, axes: tuple[str, ...], sizes: dict[str, int]) -> Value:
    out: Value = {}

    def go(part: Nested, at: tuple[int, ...]) -> None:
        if len(at) == len(axes):
            if isinstance(part, list):
                raise ShapeError(f"{name} has the axes [{' '.join(axes)}]: the value given is nested too deep")
            out[at] = float(part)
            return
        axis = axes[len(at)]
        if not isinstance(part, list):
            raise ShapeError(f"{name} has the axes [{' '.join(axes)}]: the value given has fewer")
        if sizes.setdefault(axis, len(part)) != len(part):
            raise ShapeError(f"{name} has {len(part)} numbers along {axis}, where others have {sizes[axis]}")
        for i, inner in enumerate(part):
            go(inner, (*at, i))

    go(value, ())
    return out


def places(axes: tuple[str, ...], sizes: Mapping[str, int]) -> Iterator[tuple[int, ...]]:
    """All places of a value with these axes, the last running fastest."""
    return product(*(range(sizes[a]) for a in axes))


def nested(value: Value, axes: tuple[str, ...]) -> Nested:
    """A value as lists in each other."""
    if not axes:
        return value[()]
    count = 1 + max(at[0] for at in value)
    return [nested({at[1:]: v for at, v in value.items() if at[0] == i}, axes[1:]) for i in range(count)]


# ---- operations -----------------------------------------------------------------------------------------------

Function = Callable[[Node, list[Value], Mapping[str, int]], Value]


def _pick(at: tuple[int, ...], have: tuple[str, ...], want: tuple[str, ...]) -> tuple[int, ...]:
    """The place in a value with the axes `want`, of a place along `have`."""
    return at if have == want else tuple(at[have.index(a)] for a in want)


def _pointwise(f: Callable[..., float]) -> Function:
    def function(n: Node, args: list[Value], sizes: Mapping[str, int]) -> Value:
        return {
            at: f(*(v[_pick(at, n.axes, a.axes)] for v, a in zip(args, n.args, strict=True)))
            for at in places(n.axes, sizes)
        }

    return function


def _reduction(f: Callable[[list[float]], list[float]]) -> Function:
    """`f` along the axis that the operation names: to as many numbers, or to one."""

    def function(n: Node, args: list[Value], sizes: Mapping[str, int]) -> Value:
        axes, over = n.args[0].axes, str(n.attr)
        where = axes.index(over)
        out: Value = {}
        for rest in places((*axes[:where], *axes[where + 1 :]), sizes):
            line = [args[0][(*rest[:where], i, *rest[where:])] for i in range(sizes[over])]
            new = f(line)
            if over in n.axes:
                out |= {(*rest[:where], i, *rest[where:]): v for i, v in enumerate(new)}
            else:
                out[rest] = new[0]
        return out

    return function


def _softmax(line: list[float]) -> list[float]:
    top = max(line)
    powers = [math.exp(v - top) for v in line]
    return [p / sum(powers) for p in powers]


def _scale(line: list[float]) -> float:
    mean = sum(line) / len(line)
    return 1.0 / math.sqrt(sum((v - mean) ** 2 for v in line) / len(line) + EPSILON)


def _standardise(line: list[float]) -> list[float]:
    mean, scale = sum(line) / len(line), _scale(line)
    return [(v - mean) * scale for v in line]


def _matvec(n: Node, args: list[Value], sizes: Mapping[str, int]) -> Value:
    w, v = args
    inner = n.args[0].axes[1]
    where = n.args[1].axes.index(inner)
    return {
        at: sum(w[at[where], i] * v[(*at[:where], i, *at[where + 1 :])] for i in range(sizes[inner]))
        for at in places(n.axes, sizes)
    }


def _outer(n: Node, args: list[Value], sizes: Mapping[str, int]) -> Value:
    (d, v), (out, inner) = args, n.axes
    first, second = (a.axes for a in n.args)
    rest = tuple(a for a in first if a != out)
    result: Value = {}
    for i, j in product(range(sizes[out]), range(sizes[inner])):
        total = 0.0
        for at in places(rest, sizes):
            known = dict(zip(rest, at, strict=True))
            total += d[tuple({**known, out: i}[a] for a in first)] * v[tuple({**known, inner: j}[a] for a in second)]
        result[i, j] = total
    return result


def _sigmoid(v: float) -> float:
    return 1.0 / (1.0 + math.exp(-v)) if v > -700 else 0.0


def _exp(v: float) -> float:
    return math.exp(v) if v < 709 else math.inf


def _log(v: float) -> float:
    return math.log(v) if v > 0 else -math.inf if v == 0 else math.nan


def _div(a: float, b: float) -> float:
    return a / b if b else math.nan if a == 0 or a != a else math.copysign(math.inf, a)


_FUNCTIONS: Mapping[str, Function] = {
    "number": lambda n, _, __: {(): float(n.attr)},  # type: ignore[arg-type]
    "neg": _pointwise(lambda v: -v),
    "add": _pointwise(lambda a, b: a + b),
    "sub": _pointwise(lambda a, b: a - b),
    "mul": _pointwise(lambda a, b: a * b),
    "div": _pointwise(_div),
    "exp": _pointwise(_exp),
    "log": _pointwise(_log),
    "sqrt": _pointwise(lambda v: math.sqrt(v) if v >= 0 else math.nan),
    "tanh": _pointwise(math.tanh),
    "sigmoid": _pointwise(_sigmoid),
    "softplus": _pointwise(lambda v: max(v, 0.0) + math.log1p(math.exp(-abs(v)))),
    "relu": _pointwise(lambda v: max(v, 0.0)),
    "maximum": _pointwise(max),
    "greater": _pointwise(lambda a, b: float(a > b)),
    "where": _pointwise(lambda test, a, b: a if test else b),
    "stop": _pointwise(lambda v: v),
    "matvec": _matvec,
    "transpose": lambda n, args, _: {(j, i): v for (i, j), v in args[0].items()},
    "sum": _reduction(lambda line: [sum(line)]),
    "max": _reduction(lambda line: [max(line)]),
    "softmax": _reduction(_softmax),
    "standardise": _reduction(_standardise),
    "spread": _pointwise(lambda v: v),
    "outer": _outer,
    "collect": _pointwise(lambda v: v),
    "rdev": _reduction(lambda line: [_scale(line)]),
}
