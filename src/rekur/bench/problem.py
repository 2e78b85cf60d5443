"""One problem, drawn from a fixed seed: what both sides are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rekur.bench.formulas import FORMULAS, Formula
from rekur.bench.point import Point
from rekur.bench.sides import Named, Side
from rekur.nn import initial_weights


@dataclass(frozen=True)
class Problem:
    """Weights, input, incoming gradient and lengths of a layer.

    >>> Problem(Point("layer", "own", "training", 8, 2, 3)).x.shape
    torch.Size([2, 3, 8])
    """

    point: Point

    @property
    def formula(self) -> Formula:
        """The cell, and how it is written in torch or jax."""
        return FORMULAS[self.point.cell]

    @property
    def training(self) -> bool:
        """Whether gradients are computed."""
        return self.point.mode == "training"

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Weight name -> tensor, with biases drawn too: zeros would hide that one is forgotten."""
        generator = torch.Generator().manual_seed(1)
        h = self.point.hidden
        fresh = initial_weights(self.formula.cell.graph, {"I": h, "H": h}, generator=generator)
        return {k: v if v.dim() > 1 else v.uniform_(-0.5, 0.5, generator=generator) for k, v in fresh.items()}

    @cached_property
    def x(self) -> Tensor:
        """`(B, T, H)`, a leaf of autograd where its gradient is wanted"""
        x = self._normal(2)
        return x.requires_grad_(self.training and self.point.part != "share")

    @cached_property
    def lengths(self) -> Tensor | None:
        """`(B,)`, uniform in T/4 … T"""
        if self.point.part != "lengths":
            return None
        t, generator = self.point.time, torch.Generator().manual_seed(3)
        return torch.randint(t // 4, t + 1, (self.point.batch,), generator=generator)

    @cached_property
    def live(self) -> Tensor | None:
        """`(B, T, 1)`, 1 at real steps"""
        if self.lengths is None:
            return None
        return (torch.arange(self.point.time) < self.lengths[:, None])[..., None].float()

    @property
    def fill(self) -> float:
        """The share of steps that are real."""
        return 1.0 if self.live is None else self.live.mean().item()

    @cached_property
    def dy(self) -> Tensor:
        """What comes back to the output, `(B, T, H)`; zero behind a row's end."""
        dy = self._normal(4)
        return dy if self.live is None else dy * self.live

    def _normal(self, seed: int) -> Tensor:
        p = self.point
        return torch.randn(p.batch, p.time, p.hidden, generator=torch.Generator().manual_seed(seed))

    def side(
        self,
        forward: Callable[[Tensor], Tensor],
        parameters: Sequence[Tensor],
        named: Callable[[Sequence[Tensor]], Named],
        dtype: torch.dtype = torch.float32,
    ) -> Side:
        """The side of a torch function: the call alone in inference; in training, all gradients too.

        :param forward: x -> y
        :param named: gradients of the parameters -> the same by the names of our weights
        """
        x = self.x.detach().to(dtype).requires_grad_(self.x.requires_grad)
        dy = self.dy.to(dtype)
        leaves = [*parameters, x] if x.requires_grad else [*parameters]

        def infer() -> tuple[Tensor, ...]:
            with torch.no_grad():
                return (forward(x),)

        def train() -> tuple[Tensor, ...]:
            y = forward(x)
            return (y, *torch.autograd.grad(y, leaves, dy))

        run = train if self.training else infer

        def results() -> dict[str, Tensor]:
            y, *found = run()
            out = {"the output": y if self.live is None else y * self.live}
            if self.training:
                out |= {f"the gradient of {k}": v for k, v in named(found[: len(parameters)]).items()}
            if len(found) > len(parameters):
                out["the gradient of the input"] = found[-1]
            return out

        return Side(run, results)


def packed(weights: Mapping[str, Tensor], names: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """Weights of several gates under one another, as leaves of autograd."""
    return {k: torch.cat([weights[g] for g in gates]).requires_grad_() for k, gates in names.items()}


def unpacked(tensors: Mapping[str, Tensor], names: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """`packed` undone."""
    return {g: v for k, gates in names.items() for g, v in zip(gates, tensors[k].chunk(len(gates)), strict=True)}
