"""The step by hand in torch: in a Python loop, the loop under torch.compile, and torch's own scan operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from rekur.bench.formulas import Functions
from rekur.bench.problem import Problem, packed, unpacked
from rekur.bench.sides import Side

FUNCTIONS = Functions(torch.tanh, torch.sigmoid, lambda v, n: v.chunk(n, -1))
Forward = Callable[[Tensor], Tensor]


def eager(problem: Problem) -> Side:
    """A Python loop, with the input's product made for all steps at once."""
    return _side(problem, lambda weights: _loop(problem, weights))


def compiled(problem: Problem) -> Side:
    """The same loop under torch.compile, which unrolls it; this takes a minute or two."""
    return _side(problem, lambda weights: torch.compile(_loop(problem, weights), dynamic=False))


def scanned(problem: Problem) -> Side:
    """torch's prototype of a scan operator, under torch.compile."""
    from torch._dynamo import config

    # without this it does not compile: its loop over time is a while loop that reads its index
    with_index = config.patch(capture_scalar_outputs=True)
    return _side(problem, lambda weights: with_index(torch.compile(_scan(problem, weights))))


def _loop(problem: Problem, weights: Mapping[str, Tensor]) -> Forward:
    formula, hidden = problem.formula, problem.point.hidden

    def forward(x: Tensor) -> Tensor:
        px = x @ weights["x"].T + weights["bias"]
        states = (x.new_zeros(x.shape[0], hidden),) * formula.states
        ys = []
        for t in range(x.shape[1]):
            states = formula.step(FUNCTIONS, px[:, t], weights, *states)
            ys.append(states[0])
        return torch.stack(ys, 1)

    return forward


def _scan(problem: Problem, weights: Mapping[str, Tensor]) -> Forward:
    from torch._higher_order_ops.scan import scan

    formula, hidden = problem.formula, problem.point.hidden

    def step(states: tuple[Tensor, ...], px: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        states = formula.step(FUNCTIONS, px, weights, *states)
        return tuple(s.clone() for s in states), states[0]  # the operator's results must not share memory

    def forward(x: Tensor) -> Tensor:
        px = (x @ weights["x"].T + weights["bias"]).transpose(0, 1)
        states = tuple(x.new_zeros(x.shape[0], hidden) for _ in range(formula.states))
        y: Tensor = scan(step, states, px)[1]
        return y.transpose(0, 1)

    return forward


def _side(problem: Problem, make: Callable[[Mapping[str, Tensor]], Forward]) -> Side:
    names = problem.formula.packed
    weights = packed(problem.weights, names)
    return problem.side(
        make(weights), list(weights.values()), lambda found: unpacked(dict(zip(weights, found, strict=True)), names)
    )
