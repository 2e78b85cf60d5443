"""What the tests of the zoo in time share: random problems, and where two results differ."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

from rekur.cells import find
from rekur.graph import Argument

SIZES = {"I": 3, "H": 5, "P": 2, "A": 4, "D": 6, "S": 7}
TOLERANCE = 1e-11
"""Of float64 after a few steps, relative to the largest value of a tensor."""
UNREAD = {"gradient of initial context"}
"""`attend` puts this state out and never reads it."""


class Problem:
    """Asymmetric random values, in float64, for all that a scan of a cell takes."""

    def __init__(self, name: str, lead: tuple[int, ...], steps: int) -> None:
        self.graph = find(name).graph
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        self.weights = {k: 0.8 * self.random(self._sizes(p.axes)) for k, p in self.graph.parameters.items()}
        series = (lead[0], steps, *lead[1:])
        self.inputs = {a.name: self.random(series + self.size(a)) for a in self.graph.of("input")}
        self.state = {a.name: self.random(lead + self.size(a)) for a in self.graph.of("state")}
        self.initial = {a.name: self.random(self.size(a)) for a in self.graph.of("state")}
        self.constants = {a.name: self.random(lead + self.size(a)) for a in self.graph.of("constant")}
        first = self.graph.of("state")[0]
        self.gradients = {"output": self.random(series + self.size(first))}
        self.gradients |= {f"final {a.name}": self.random(lead + self.size(a)) for a in self.graph.of("state")}

    def random(self, shape: tuple[int, ...]) -> Tensor:
        """Normal values."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def size(self, a: Argument) -> tuple[int, ...]:
        """The sizes of an argument's axes."""
        return self._sizes(a.axes)

    @staticmethod
    def _sizes(axes: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(SIZES[a] for a in axes)


def leaves(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that gradients can be asked of."""
    return {k: v.clone().requires_grad_() for k, v in values.items()}


def with_gradients(
    results: Mapping[str, Tensor], cotangents: Mapping[str, Tensor], of: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """The results, and the gradient in every leaf of `of`, by its kind and name; zero where there is none."""
    named = {f"gradient of {kind} {k}": leaf for kind, group in of.items() for k, leaf in group.items()}
    roots = [v for v in results.values() if v.requires_grad]
    given = [cotangents[k] for k, v in results.items() if v.requires_grad]
    found = torch.autograd.grad(roots, list(named.values()), given, allow_unused=True, materialize_grads=True)
    return {**{k: v.detach() for k, v in results.items()}, **dict(zip(named, found, strict=True))}


def differences(got: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> set[str]:
    """The names of the results and gradients that are not the same; NaN is never the same."""
    assert list(got) == list(want)
    assert all(v.isfinite().all() and got[k].shape == v.shape for k, v in want.items())
    assert {k for k, v in want.items() if not v.any()} <= UNREAD, "a result that is all zero says nothing"
    return {k for k, v in want.items() if not bool((got[k] - v).abs().max() <= TOLERANCE * (1 + v.abs().max()))}
