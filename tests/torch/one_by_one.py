"""What the tests of the time loop share: random problems, `scan`, and a plain loop over one sequence at a time.

The loop knows no masks and no graph: it visits the real steps of a row and calls the cell's formula. `scan` is
given NaN wherever nothing may be read: in padding, in the incoming gradient of padding, in dead memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from rekur.cells import find
from rekur.graph import Graph
from rekur.run import compile, scan
from tests.compare import Named, leaves, with_gradients
from tests.pure.cell_formulas import CASES, READS, Weights

CHAINS = tuple(name for name in CASES if name not in READS)
"""Every cell of the zoo that is not for a lattice."""
SQUARE = ("mut1", "mut2")
"""Those that read as many features as they have units."""
FUSED = ("lstm", "gru-after", "elman", "elman-relu")
"""Those that are a layer of torch."""
EXACT = tuple([(name, "reference") for name in CHAINS] + [(name, "fused") for name in FUSED])
"""Each with the backends that compute it in float64."""
SIZES = {"I": 3, "H": 5, "P": 2, "A": 4, "D": 6, "S": 4}

# Rows in turn: all steps, none, the first ones, the last ones, a gap, one step.
LIVE = torch.tensor(
    [
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [0, 1, 1, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
    ],
    dtype=torch.bool,
)
# At the first step; twice in a row; in padding before, between and after; at the first step after a gap.
RESET = torch.tensor(
    [
        [1, 0, 0, 1, 1, 0],
        [1, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 0, 1],
        [0, 0, 0, 0, 1, 1],
    ],
    dtype=torch.bool,
)
MEMORY = (4, 3, 0, 1, 2, 4)
"""Positions of each row's memory that there are."""


@dataclass(frozen=True)
class Problem:
    """Asymmetric random values in float64 for all that a scan of a cell takes and gives."""

    name: str
    live: Tensor
    reset: Tensor | None = None
    reverse: bool = False
    memory: Sequence[int] = ()
    sizes: Mapping[str, int] = field(default_factory=lambda: SIZES)
    values: Mapping[str, dict[str, Tensor]] = field(init=False)
    """weight, input, state, initial, constant -> name -> value"""
    cotangents: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(sum(map(ord, self.name)))

        def random(lead: Sequence[int], axes: Sequence[str], gain: float = 1.0) -> Tensor:
            shape = (*lead, *(self.sizes[a] for a in axes))
            return gain * torch.randn(shape, generator=draw, dtype=torch.float64)

        series = self.live.shape
        batch = (series[0], *series[2:])
        parameters = self.graph.parameters.items()
        states = self.graph.of("state")
        values = {
            "weight": {k: random((), p.axes, self.sizes[p.axes[-1]] ** -0.5) for k, p in parameters},
            "input": {a.name: random(series, a.axes) for a in self.graph.of("input")},
            "state": {a.name: random(batch, a.axes) for a in states},
            "initial": {a.name: random((), a.axes) for a in states},
            "constant": {a.name: random(batch, a.axes) for a in self.graph.of("constant")},
        }
        cotangents = {"output": random(series, states[0].axes)}
        cotangents |= {f"final {a.name}": random(batch, a.axes) for a in states}
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "cotangents", cotangents)

    @property
    def graph(self) -> Graph:
        """The cell's."""
        return find(self.name).graph


def through_scan(p: Problem, backend: str = "reference", **options: Any) -> Named:
    """What rekur gives, all gradients included. The options are those of `scan`, and go before the problem's."""
    of = {kind: leaves(named) for kind, named in p.values.items()}
    of["input"] = leaves({k: poisoned(v, p.live) for k, v in of["input"].items()})
    if p.memory:
        there = torch.arange(p.sizes["S"]) < torch.tensor(p.memory)[:, None]
        of["constant"] = leaves({k: poisoned(v, there) for k, v in of["constant"].items()})
        options |= {"memory_lengths": {"S": p.memory}} if of["constant"] else {}
    options = {"live": p.live, "reset": p.reset, "reverse": p.reverse} | options
    y, final, _, _ = scan(
        compile(p.graph, backend), of["weight"], of["input"], of["state"],
        constants=of["constant"], initial=of["initial"], **options,
    )  # fmt: skip
    assert not y[~p.live].any()
    cotangents = p.cotangents | {"output": poisoned(p.cotangents["output"], p.live)}
    return with_gradients(_named(y, final), cotangents, of)


def one_by_one(p: Problem) -> Named:
    """The same by the formula: one row at a time, its real steps only."""
    of = {kind: leaves(named) for kind, named in p.values.items()}
    weights, inputs, state, initial, constants = of.values()
    read = Weights(weights)
    y = torch.zeros_like(p.cotangents["output"])
    final: dict[str, list[Tensor]] = {k: [] for k in state}
    for b, row in enumerate(p.live):
        held = {k: v[b] for k, v in state.items()}
        fixed = {k: v[b, : p.memory[b]] if p.memory else v[b] for k, v in constants.items()}
        for boundary, t in visits(row, None if p.reset is None else p.reset[b], p.reverse):
            if boundary:
                held = dict(initial)
            new = CASES[p.name](torch, read, **{k: v[b, t] for k, v in inputs.items()}, **held, **fixed)
            held = dict(zip(state, new, strict=True))
            y[b, t] = new[0]
        for k, v in held.items():
            final[k].append(v)
    assert read.read == set(weights) or not p.live.any()
    return with_gradients(_named(y, {k: torch.stack(v) for k, v in final.items()}), p.cotangents, of)


def visits(live: Tensor, reset: Tensor | None, reverse: bool) -> list[tuple[bool, int]]:
    """The real steps of a row as they are met, each with whether the state starts anew before it."""
    steps: list[int] = live.nonzero().squeeze(1).tolist()
    if reverse:
        steps.reverse()
    if reset is None:
        return [(False, t) for t in steps]
    # a boundary lies before its step in time: backwards it is met on the way from that step to the next one
    at = [None, *steps[:-1]] if reverse else steps
    return [(b is not None and bool(reset[b]), t) for b, t in zip(at, steps, strict=False)]


def poisoned(v: Tensor, live: Tensor) -> Tensor:
    """NaN in the places that are not real."""
    return torch.where(live.reshape(live.shape + (1,) * (v.dim() - live.dim())), v.detach(), torch.nan)


def lengths_only(p: Problem, lengths: Sequence[int]) -> Problem:
    """The problem without resets, its rows cut to these lengths."""
    steps = p.live.shape[1]
    return replace(p, live=torch.arange(steps) < torch.tensor(lengths)[:, None], reset=None)


def _named(y: Tensor, final: Named) -> Named:
    return {"output": y, **{f"final {k}": v for k, v in final.items()}}
