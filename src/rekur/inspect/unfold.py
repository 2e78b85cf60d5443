"""A model unfolded step by step, every state a value of its own that gradients can be asked of.

The compiled time loop keeps its inner states to itself; here each layer takes one step at a time, so that the state
between two steps is a tensor of autograd's. What is computed is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rekur.errors import OptionError, ShapeError
from rekur.nn import Recurrent, SequenceModel
from rekur.nn.connections import connected
from rekur.nn.layer import Layer
from rekur.nn.pooling import pool
from rekur.run import State, scan
from rekur.run.sizes import lengths_to_live

LONGEST = 1024
"""Steps that a model is unfolded by at most: their states are all kept"""


@dataclass(frozen=True)
class Chain:
    """One layer over time in one direction."""

    layer: Layer
    read: Tensor
    """What it reads: `(B, T, I)`, or symbols `(B, T)`"""
    before: Mapping[str, Tensor]
    """The state that it starts from, `(B, …)` each"""
    states: Sequence[Mapping[str, Tensor]]
    """By time, the state as it leaves the step, `(B, …)` each"""

    def entering(self, time: int) -> Mapping[str, Tensor]:
        """The state that step `time` starts from."""
        earlier = time + 1 if self.layer.reverse else time - 1
        return self.states[earlier] if 0 <= earlier < len(self.states) else self.before

    def step(self, read: Tensor, state: Mapping[str, Tensor], live: Tensor | None = None) -> Mapping[str, Tensor]:
        """The state after one more step on `(B, 1, I)`, by the layer's weights as constants."""
        layer = self.layer
        weights = {name: weight.detach() for name, weight in layer.params().items()}
        return scan(layer.kernel, weights, read, state, live=live, sizes=layer.sizes).state


@dataclass(frozen=True)
class Unfolded:
    """A model over a batch."""

    outputs: Tensor
    """Of the whole model, head and all, at every step, `(B, T, O)`; where it pools, as if each step were the last"""
    pooled: Tensor | None
    """`(B, O)`, where it pools"""
    chains: Mapping[str, Chain]
    """By layer: ``0``, ``0.reverse``, ``1`` …"""
    live: Tensor
    """`(B, T)`, the real steps"""

    def gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Of a loss, one a row `(B,)`, in each state as it leaves each step: ``0.h`` and so on, `(B, T, …)`."""
        named = {
            f"{prefix}.{state}": [at[state] for at in chain.states]
            for prefix, chain in self.chains.items()
            for state in chain.before
        }
        flat = [value for series in named.values() for value in series]
        found = iter(torch.autograd.grad(loss.sum(), flat, retain_graph=True, allow_unused=True))
        whole = {
            name: torch.stack([torch.zeros_like(v) if (g := next(found)) is None else g for v in series], 1)
            for name, series in named.items()
        }
        return {name: torch.where(_beside(self.live, g), g, torch.nan) for name, g in whole.items()}


def unfold(
    model: SequenceModel | Recurrent,
    x: Tensor,
    state: Mapping[str, Tensor] | None = None,
    lengths: Tensor | Sequence[int] | None = None,
) -> Unfolded:
    """Run a model as in evaluation, step by step. Its weights get no gradient, and it is left as it was.

    ShapeError for what does not fit, OptionError where there are too many steps to keep.
    """
    plan = None if isinstance(model, Recurrent) else model.plan
    stack = model if isinstance(model, Recurrent) else model.recurrent
    if stack.bidirectional and state is not None:
        raise ShapeError("a bidirectional stack cannot be handed a state: its second chain starts at the end")
    with torch.no_grad():
        read = x if isinstance(model, Recurrent) else model.read(x)
    if read.dim() < 2 or 0 in read.shape[:2]:
        raise ShapeError(f"there is nothing to follow in an input of {tuple(read.shape)}: it has no row or no step")
    rows, time = read.shape[:2]
    if time > LONGEST:
        raise OptionError(f"the gradient is followed through {LONGEST} steps at most, got {time}: take a part")
    counts = torch.full((rows,), time) if lengths is None else torch.as_tensor(lengths)
    live = lengths_to_live(counts, rows, time, read.device)
    whole = bool(live.all())
    chains: dict[str, Chain] = {}

    def both(depth: int, given: Tensor) -> Tensor:
        outputs = []
        for stacked, prefix in ((stack.layers, f"{depth}"), (stack.reverse_layers, f"{depth}.reverse")):
            if not len(stacked):
                continue
            layer = stacked[depth]
            assert isinstance(layer, Layer)
            start = layer.initial_state(rows) if state is None else State(state).under(prefix)
            chain = _chain(layer, given, start, None if whole else live)
            first = layer.cell.graph.of("state")[0].name
            y = torch.stack([at[first] for at in chain.states], 1)
            outputs.append(y if whole else torch.where(_beside(live, y), y, 0))
            chains[prefix] = chain
        return torch.cat(outputs, -1)

    with torch.enable_grad():
        y = connected(stack.connections, read, len(stack.layers), both)
        pooled = None
        if plan is not None and plan.pooling is not None:
            pooled = pool(y, plan.pooling, None if whole else counts, bidirectional=plan.bidirectional)
        head = None if isinstance(model, Recurrent) else model.head
        if head is not None:
            y, pooled = _constant(head, y), None if pooled is None else _constant(head, pooled)
    return Unfolded(y, pooled, chains, live)


def _chain(layer: Layer, read: Tensor, start: Mapping[str, Tensor], live: Tensor | None) -> Chain:
    before = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    time = read.shape[1]
    states: list[Mapping[str, Tensor]] = [before] * time
    chain = Chain(layer, read, before, states)
    for at in reversed(range(time)) if layer.reverse else range(time):
        here = slice(at, at + 1)
        states[at] = dict(chain.step(read[:, here], chain.entering(at), None if live is None else live[:, here]))
    return chain


def _constant(head: nn.Linear, y: Tensor) -> Tensor:
    return nn.functional.linear(y, head.weight.detach(), None if head.bias is None else head.bias.detach())


def _beside(mask: Tensor, values: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (values.dim() - mask.dim()))
