"""What a user gives a step: values as words, one matrix for all gates, and the rest made up."""

from __future__ import annotations

import ast
import random
from collections.abc import Mapping, Sequence

from rekur.draw.numbers import Nested
from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Graph, Leaf

STACKED = "W"
"""The name under which one matrix for all gates is given."""


def value(text: str) -> Nested:
    """A value as a user writes it: a number, numbers with commas between, or lists in brackets.

    >>> value("0.5"), value("1,0"), value("[[1, 2], [3, 4]]")
    (0.5, [1.0, 0.0], [[1.0, 2.0], [3.0, 4.0]])

    Raises OptionError for anything else.
    """

    def go(part: object) -> Nested:
        if isinstance(part, list | tuple):
            return [go(p) for p in part]
        if isinstance(part, bool) or not isinstance(part, int | float):
            raise ValueError
        return float(part)

    try:
        return go(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise OptionError(f"{text!r} is not a value: write 0.5, or 1,0 or [[1, 2], [3, 4]]") from None


def assignments(words: Sequence[str]) -> dict[str, Nested]:
    """``NAME=VALUE`` words; OptionError for one that is not, and for a name that comes twice."""
    out: dict[str, Nested] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise OptionError(f"{word!r} is not NAME=VALUE, as x=1,0")
        if name in out:
            raise OptionError(f"{name} is given twice")
        out[name] = value(text)
    return out


def completed(graph: Graph, given: Mapping[str, Nested], *, seed: int, size: int = 2) -> dict[str, Nested]:
    """Values for all that `graph` reads: those given, and the rest made up.

    A state that is not given starts as it does; weights and inputs that are not given lie between −1 and 1 and are
    the same for the same seed; an axis of which nothing is known has `size` places. A number stands for a vector of
    one. Where ``W`` is given, see `unstacked`.

    >>> from rekur.cells import elman
    >>> completed(elman.graph, {"x": [1, 0], "h": [0, 1]}, seed=0)["hidden.bias"]
    [0.0, 0.0]

    Raises OptionError for a name that `graph` has not, ShapeError where values do not fit.
    """
    known = {a.name: a.axes for a in graph.arguments} | {k: leaf.axes for k, leaf in graph.parameters.items()}
    plain = {k: v for k, v in given.items() if k != STACKED or k in known}
    for name, v in plain.items():
        if name not in known:
            raise OptionError(f"{graph.name} has no {name!r}{suggest(name, known)}; there are {', '.join(known)}")
        if len(known[name]) == 1 and not isinstance(v, list):
            plain[name] = [v]
    sizes: dict[str, int] = {}
    for name, v in plain.items():
        for axis in known[name]:
            if not isinstance(v, list) or not v:
                raise ShapeError(f"{name} has the axes [{' '.join(known[name])}]: the value given has fewer")
            if sizes.setdefault(axis, len(v)) != len(v):
                raise ShapeError(f"{name} has {len(v)} numbers along {axis}, where others have {sizes[axis]}")
            v = v[0]
    sizes = {axis: sizes.get(axis, size) for axis in graph.axes}
    states = {a.name for a in graph.of("state")}
    out = {**some_weights(graph, sizes, seed=seed)}
    rd = random.Random(seed + 1)
    for a in graph.arguments:
        initial = a.initial if a.name in states else None
        out[a.name] = _made(a.axes, sizes, rd, initial)
    if STACKED in given and STACKED not in known:
        out |= unstacked(graph, given[STACKED], sizes)
    return out | plain


def _made(axes: tuple[str, ...], sizes: Mapping[str, int], rd: random.Random, fixed: float | None) -> Nested:
    if axes:
        return [_made(axes[1:], sizes, rd, fixed) for _ in range(sizes[axes[0]])]
    return round(rd.uniform(-1, 1), 1) if fixed is None else fixed


def some_weights(graph: Graph, sizes: Mapping[str, int], *, seed: int) -> dict[str, Nested]:
    """Weights to show a step with: between −1 and 1, with one digit, the same for the same seed.

    Biases are as they start.

    >>> from rekur.cells import elman
    >>> some_weights(elman.graph, {"I": 1, "H": 2}, seed=0)["hidden.bias"]
    [0.0, 0.0]
    """
    rd = random.Random(seed)

    def made(leaf: Leaf) -> Nested:
        kind, _, start = leaf.init.partition("=")
        fixed = float(start) if kind == "constant" else {"zeros": 0.0, "ones": 1.0}.get(kind)
        return _made(leaf.axes, sizes, rd, fixed)

    return {name: made(leaf) for name, leaf in graph.parameters.items()}


def unstacked(graph: Graph, matrix: Nested, sizes: Mapping[str, int]) -> dict[str, Nested]:
    """The weights of all gates out of one matrix that multiplies the row vector [states, inputs] from the right.

    Its columns are those of the gates side by side, in the author's order; biases are zero.

    >>> from rekur.cells import elman
    >>> unstacked(elman.graph, [[1.5, -2], [0, 1], [-1, 0.5], [2, 0]], {"I": 2, "H": 2})["hidden.x"]
    [[-1, 2], [0.5, 0]]

    Raises OptionError for a cell whose gates do not read the same, ShapeError for a matrix of another size.
    """
    owners: dict[str, dict[str, str]] = {}
    for name, leaf in graph.parameters.items():
        owner, _, operand = name.rpartition(".")
        if leaf.matrix:
            owners.setdefault(owner, {})[operand] = name
        elif operand != "bias":
            raise OptionError(
                f"{graph.name} has the weight {name!r}, which is not part of one matrix: give each by name"
            )
    order = [a.name for a in (*graph.of("state"), *graph.of("input"))]
    reads = [[o for o in order if o in operands] for operands in owners.values()]
    if not reads or any(r != reads[0] or len(r) != len(o) for r, o in zip(reads, owners.values(), strict=True)):
        raise OptionError(f"the gates of {graph.name} do not all read the same: give each weight by name")
    height = {o: sizes[graph.parameters[next(iter(owners.values()))[o]].axes[1]] for o in reads[0]}
    wide = sizes["H"]
    want = sum(height.values()), wide * len(owners)
    got = (len(matrix), len(matrix[0])) if isinstance(matrix, list) and matrix and isinstance(matrix[0], list) else ()
    if got != want or not isinstance(matrix, list) or any(len(row) != want[1] for row in matrix):
        what = f"{' × '.join(map(str, got))}" if got else "no matrix"
        rows = " + ".join(f"{height[o]} of {o}" for o in reads[0])
        raise ShapeError(f"W is {what}: it needs {want[0]} rows ({rows}) and {want[1]} columns ({', '.join(owners)})")
    out: dict[str, Nested] = {}
    for k, (owner, operands) in enumerate(owners.items()):
        at = 0
        for o in reads[0]:
            block = [row[k * wide : (k + 1) * wide] for row in matrix[at : at + height[o]]]
            out[operands[o]] = [list(column) for column in zip(*block, strict=True)]
            at += height[o]
        if f"{owner}.bias" in graph.parameters:
            out[f"{owner}.bias"] = [0.0] * wide
    return out
