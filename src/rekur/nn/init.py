"""How the weights of a cell start: its graph says it, one word a weight; and those of an embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rekur.errors import OptionError
from rekur.graph import Graph, Leaf


def initial_weights(
    graph: Graph,
    sizes: Mapping[str, int],
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> dict[str, Tensor]:
    """Fresh weights by name, for axes of the given sizes.

    `uniform` is ±1/√rows (what torch's recurrent layers use), `uniform=A` ±A, `glorot` ±√(6 / (rows + columns))
    (Glorot and Bengio, 2010), `orthogonal` a random orthogonal matrix (Saxe et al., 2014), `identity=C` C times the
    identity. OptionError where a size is not given.

    >>> from rekur.cells import lstm
    >>> initial_weights(lstm.graph, {"I": 2, "H": 3})["forget.bias"]
    tensor([1., 1., 1.])
    """
    for name, leaf in graph.parameters.items():
        for axis in leaf.axes:
            if axis not in sizes:
                raise OptionError(f"the weight {name!r} of {graph.name} has the axis {axis}, whose size is not given")
    return {
        name: _start(leaf, sizes, generator).to(dtype=dtype, device=device) for name, leaf in graph.parameters.items()
    }


def _start(leaf: Leaf, sizes: Mapping[str, int], generator: torch.Generator | None) -> Tensor:
    shape = [sizes[a] for a in leaf.axes]
    v = torch.empty(shape, dtype=torch.get_default_dtype())
    how, _, number = leaf.init.partition("=")
    if how in ("zeros", "ones", "constant"):
        return v.fill_(float(number or how == "ones"))
    if how == "identity":
        return torch.nn.init.eye_(v).mul_(float(number or 1))
    if how == "orthogonal":
        return torch.nn.init.orthogonal_(v, generator=generator)
    if how == "normal":
        return v.normal_(0.0, float(number), generator=generator)
    bound = math.sqrt(6 / sum(shape)) if how == "glorot" else float(number) if number else shape[0] ** -0.5
    return v.uniform_(-bound, bound, generator=generator)


def embedding(symbols: int, size: int, generator: torch.Generator | None, options: Mapping[str, Any]) -> nn.Embedding:
    """An embedding that starts from normal numbers; `options` are dtype and device."""
    weight = torch.empty(symbols, size, **options)
    if weight.device.type != "meta":  # there is nothing to draw, and torch would import its compiler to do so
        nn.init.normal_(weight, generator=generator)
    return nn.Embedding(symbols, size, _weight=weight)
