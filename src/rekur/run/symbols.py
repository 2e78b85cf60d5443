"""Symbols as the input of a cell: integers, each of which stands for a column of every weight it is multiplied by."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from rekur.errors import ShapeError
from rekur.graph import Argument, Graph, Leaf, make, walk
from rekur.run.traced import check, traced

DTYPES = (torch.int64, torch.int32)


def symbolic(
    graph: Graph, inputs: Mapping[str, object], asked: Collection[str], ragged: Collection[str]
) -> dict[str, str]:
    """The inputs that are handed in as symbols, each with its axis.

    They are integers `(B, T)`, or `(B, T, L)` on a lattice whose sites read each other.

    :param asked: named values that are wanted besides the states.
    :param ragged: axes with dead positions.

    Raises ShapeError for a dtype that symbols do not have, and for a cell that does more with the input than multiply
    it by weights. Integers of another shape are no symbols, but features of the wrong dtype.
    """
    dims = 3 if graph.reads_neighbours else 2
    found = {}
    for a in graph.of("input"):
        v = inputs[a.name]
        if not isinstance(v, Tensor) or v.dim() != dims or len(a.axes) != 1:
            continue
        if v.dtype in DTYPES:
            _only_multiplied(graph, a, asked, ragged)
            found[a.name] = a.axes[0]
        elif not v.is_floating_point():
            raise ShapeError(f"{graph.name}: symbols are of int64 or int32, and the input {a.name!r} is {v.dtype}")
    return found


def _only_multiplied(graph: Graph, a: Argument, asked: Collection[str], ragged: Collection[str]) -> None:
    leaf = make("input", attr=Leaf(a.name, a.axes))
    roots = [*graph.outputs.values(), *(graph.named(k) for k in asked)]
    other = next((n.op for n in walk(roots) if leaf in n.args and n.op != "matvec"), "")
    if leaf in roots:
        other = "its results"
    if a.axes[0] in ragged:
        other = "a memory"
    if other:
        raise ShapeError(
            f"{graph.name}: the input {a.name!r} cannot be symbols, for the cell not only multiplies it by weights: "
            f"it reads it in {other}; hand in features, as an embedding of the symbols or one_hot(…).float()"
        )


def checked(cell: str, name: str, v: Tensor, size: int, live: Tensor | None) -> Tensor:
    """Symbols as backends get them: int64, and 0 where a step is not live, which says nothing.

    ShapeError for a live one outside of 0 … size-1.
    """
    if traced(v):
        right = (v >= 0) & (v < size)
        most = size - 1 if isinstance(size, int) else "the size of the axis"  # of which a tracer may have a symbol
        check(right if live is None else right | ~live, f"{cell}: the symbols {name!r} must lie in 0..{most}")
    else:
        seen = v if live is None else v[live]
        if seen.numel():
            check_range(cell, name, int(seen.min()), int(seen.max()), size)
    v = v.to(torch.int64)
    return v if live is None else torch.where(live, v, 0)


def check_range(cell: str, name: str, low: int, high: int, size: int) -> None:
    """ShapeError where symbols from `low` to `high` are not all among `size`."""
    if low < 0 or high >= size:
        raise ShapeError(f"{cell}: the symbols {name!r} must lie in 0..{size - 1}, got {low}..{high}")
