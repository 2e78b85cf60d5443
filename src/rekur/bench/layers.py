"""Our side of a race between layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rekur.bench.problem import Problem
from rekur.bench.sides import Side
from rekur.nn import Recurrent

BACKEND = "cpu"


def ours(problem: Problem) -> Side:
    """`Recurrent` on the compiled backend, as a user calls it."""
    return _side(problem, problem.lengths)


def dense(problem: Problem) -> Side:
    """The same over every step, real or not: with the same incoming gradient, it has the same gradients."""
    return _side(problem, None)


def _side(problem: Problem, lengths: Tensor | None) -> Side:
    stack = recurrent(problem)
    names = [k.removeprefix("layers.0.weights.") for k, _ in stack.named_parameters()]
    return problem.side(
        lambda x: stack(x, lengths=lengths)[0],
        list(stack.parameters()),
        lambda found: dict(zip(names, found, strict=True)),
    )


def recurrent(problem: Problem) -> Recurrent:
    """A layer with the problem's weights."""
    size = problem.point.hidden
    return filled(Recurrent(problem.formula.cell, size, size, backend=BACKEND), problem.weights)


def filled(stack: Recurrent, *weights: Mapping[str, Tensor]) -> Recurrent:
    """The stack with the weights given, layer by layer."""
    stack.load_state_dict({f"layers.{i}.weights.{k}": v for i, layer in enumerate(weights) for k, v in layer.items()})
    return stack
