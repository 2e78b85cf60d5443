"""What the formats of other libraries share: one array for all gates, with the units last.

A weight of ours is `(H, I)`, theirs are `(I, n·H)`: gate beside gate, in an order of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rekur.errors import OptionError, ShapeError
from rekur.graph import Cell, same_structure

Array = NDArray[Any]
Value = Tensor | Array
"""What a user hands in"""


def array(what: str, value: object) -> Array:
    """`value` as an array of floats in this machine's order of bytes; `what` names it in the error."""
    v = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    if not np.issubdtype(v.dtype, np.floating):
        raise ShapeError(f"{what} must be floating point, got {v.dtype}")
    return v.astype(v.dtype.newbyteorder("="), copy=False)


def expect(what: str, v: Array, shape: Sequence[int | str], meaning: str, hint: str = "") -> None:
    """Raise ShapeError where `v` has another shape; a letter in `shape` stands for any size above zero."""
    fits = all(n == m if isinstance(m, int) else n > 0 for n, m in zip(v.shape, shape, strict=False))
    if v.ndim != len(shape) or not fits:
        wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
        raise ShapeError(f"{what} is {v.shape}, expected {wanted}, which is {meaning}{hint}")


def unpack(v: Array, weights: Sequence[str]) -> dict[str, Tensor]:
    """Weight by weight in the order of the gates; copies, of a matrix transposed."""
    return {name: torch.from_numpy(part.T.copy()) for name, part in parts(v, weights).items()}


def parts(v: Array, names: Sequence[str]) -> dict[str, Array]:
    """The equal parts of the last axis by name."""
    return dict(zip(names, np.split(v, len(names), axis=-1), strict=True))


def pack(weights: Mapping[str, Array], names: Sequence[str]) -> Array:
    """What `unpack` took apart."""
    return np.concatenate([weights[name].T for name in names], axis=-1)


def of(gates: Sequence[str], part: str) -> tuple[str, ...]:
    """The weights of the gates: ``forget.x``."""
    return tuple(f"{gate}.{part}" for gate in gates)


def recognised(
    what: str, cell: Cell, weights: Mapping[str, Value], known: Sequence[Cell]
) -> tuple[Cell, dict[str, Array]]:
    """Which of the known cells this one is by its structure, and the weights under the names of that.

    Raises OptionError where it is none of them, and ShapeError where weights are missing or do not fit each other.
    """
    for one in known:
        names = same_structure(one.graph, cell.graph)
        if names is None:
            continue
        sizes: dict[str, int] = {}
        out = {}
        for name, theirs in names.items():
            if theirs not in weights:
                raise ShapeError(f"{what}: the weights of {cell.name} lack {theirs!r}")
            v = out[name] = array(f"{what}: the weight {theirs!r}", weights[theirs])
            axes = one.graph.parameters[name].axes
            meaning = f"[{' '.join(axes)}]"
            expect(f"{what}: the weight {theirs!r}", v, [sizes.get(a, a) for a in axes], meaning)
            sizes |= dict(zip(axes, v.shape, strict=True))
        return one, out
    there = ", ".join(c.name for c in known)
    raise OptionError(f"{what} writes {there} and cells of the same structure; {cell.name} is none of them")
