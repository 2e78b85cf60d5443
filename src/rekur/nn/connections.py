"""How the layers of a stack are made of what the user says, and how each reads those below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rekur.cells import load
from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Cell
from rekur.nn.calls import have
from rekur.nn.layer import checked, positive

CONNECTIONS = ("plain", "residual", "dense")


def connected(kind: str, x: Tensor, count: int, layer: Callable[[int, Tensor], Tensor]) -> Tensor:
    """What a stack puts out: `layer(depth, x)` for each layer, on what its connections have it read.

    plain: each reads what the one below puts out. residual: from the second on, a layer adds what it computes to what
    it reads, ``y_l = y_{l-1} + f_l(y_{l-1})``. dense: from the second on, a layer reads the input of the stack and
    what all layers below put out, side by side.
    """
    if kind == "dense" and count > 1 and not x.is_floating_point():
        raise ShapeError("dense connections hand the input to every layer, and symbols are for the first; embed them")
    read, below = x, [x]
    for depth in range(count):
        y = layer(depth, read)
        if kind == "dense" and depth + 1 < count:
            below.append(y)
            y = torch.cat(below, -1)
        elif kind == "residual" and depth:
            y = read + y
        read = y
    return read


def layers_of(
    cell: Cell | str | Sequence[Cell | str], hidden_size: int | Sequence[int], num_layers: int | None
) -> list[tuple[Cell, int]]:
    """The cell and the units of each layer; OptionError where what is said by layer does not agree."""
    told: dict[str, int] = {} if num_layers is None else {"num_layers": num_layers}
    positive(**told)
    cells = list(cell) if isinstance(cell, list | tuple) else [cell]
    units: list[Any] = list(hidden_size) if isinstance(hidden_size, list | tuple) else [hidden_size]
    told |= {
        k: len(v) for k, v, given in (("cell", cells, cell), ("hidden_size", units, hidden_size)) if v != [given]
    }
    count = next(iter(told.values()), 1)
    if any(n != count for n in told.values()) or not count:
        said = ", ".join(f"{k} {'is' if k == 'num_layers' else 'lists'} {n}" for k, n in told.items())
        raise OptionError(f"the layers are counted differently: {said}; list one a layer, and leave out num_layers")
    found = [checked(load(one) if isinstance(one, str) else one) for one in cells]
    for i, size in enumerate(units):
        positive(**{"hidden_size" if size is hidden_size else f"hidden_size[{i}]": size})
    return list(zip(found * (count // len(found)), units * (count // len(units)), strict=True))


def axes_of(layers: Sequence[tuple[Cell, int]], sizes: Mapping[str, int]) -> list[str]:
    """The axis of each layer's input; OptionError for sizes that no cell has, or that are said elsewhere."""
    axes = [_vector_in_and_out(cell) for cell, _ in layers]
    own = {"H": "hidden_size"} | dict.fromkeys(axes, "input_size")
    for name in sizes:
        if name in own:
            raise OptionError(f"the size of the axis {name!r} is {own[name]}: leave it out of sizes")
        known = dict.fromkeys(axis for cell, _ in layers for axis in cell.graph.axes)
        if name not in known:
            cells = have(cell.name for cell, _ in layers)
            raise OptionError(f"{cells} no axis {name!r}{suggest(name, known)}")
    return axes


def read_at(kind: str, depth: int, size: int, widths: Sequence[int]) -> int:
    """How many features a layer reads, of a stack that reads `size` and whose layers below put out `widths`."""
    if not depth:
        return size
    return size + sum(widths) if kind == "dense" else widths[-1]


def _vector_in_and_out(cell: Cell) -> str:
    """The axis of the one input; OptionError for a cell whose layers do not fit on each other."""
    inputs, states = cell.graph.of("input"), cell.graph.of("state")
    if len(inputs) != 1 or len(inputs[0].axes) != 1 or len(states[0].axes) != 1:
        read = ", ".join(f"{a.name}[{' '.join(a.axes)}]" for a in inputs)
        raise OptionError(
            f"{cell.name} reads {read} and puts out [{' '.join(states[0].axes)}]; a stack is for cells that read "
            "one vector and put one out: use Layer"
        )
    return inputs[0].axes[0]
