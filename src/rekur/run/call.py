"""What a backend is asked to do, once everything about it has been checked, and what it gives back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rekur.graph import Graph
from rekur.run.state import State


class Scan(NamedTuple):
    """The result of a scan."""

    output: Tensor
    """`(B, T, size)`, or `(B, T, L, size)` on a lattice; zero where a row is not live."""
    state: State
    """After the last live step of each row."""
    outputs: dict[str, Tensor]
    """The extra outputs asked for, by name, differentiable; zero where a row is not live."""
    record: dict[str, Tensor]
    """The values recorded, by name, detached."""


@dataclass(frozen=True, eq=False)
class Call:
    """One scan. All tensors have the device and dtype of the weights, and shapes that fit each other."""

    graph: Graph
    params: Mapping[str, Tensor]
    inputs: Mapping[str, Tensor]
    """`(B, T, *lattice, *axes)`; or symbols of int64, `(B, T, *lattice)`, all of which are columns of the weights"""
    state: Mapping[str, Tensor]
    """What is handed in: `(B, *lattice, *axes)`"""
    initial: Mapping[str, Tensor]
    """What a reset goes back to: the same shape"""
    constants: Mapping[str, Tensor]
    """`(B, *lattice, *axes)`; positions of a memory that are dead hold what a live one holds"""
    mask: Tensor | None
    """`(B, T, *lattice)`: which steps are live, where not lengths say so"""
    lengths: Tensor | None
    """`(B,)`: the live steps of each row; without either every step is live"""
    reset: Tensor | None
    """`(B, T, *lattice)`: at t, the boundary between t-1 and t"""
    reverse: bool
    memory: Mapping[str, Tensor]
    """Ragged axis -> mask `(B, size)` of its live positions"""
    outputs: tuple[str, ...]
    record: tuple[str, ...]
    sizes: Mapping[str, int]

    @property
    def lead(self) -> tuple[int, ...]:
        """The batch and, where there is one, the lattice."""
        first = self.graph.of("state")[0]
        shape = self.state[first.name].shape
        return tuple(shape[: len(shape) - len(first.axes)])

    @property
    def symbols(self) -> tuple[str, ...]:
        """The inputs that are symbols."""
        return tuple(k for k, v in self.inputs.items() if v.dtype == torch.int64)

    @property
    def steps(self) -> int:
        """T"""
        return next(iter(self.inputs.values())).shape[1]

    @cached_property
    def live(self) -> Tensor | None:
        """`(B, T, *lattice)`, None where every step is live."""
        if self.lengths is None:
            return self.mask
        rows, *lattice = self.lead
        live = torch.arange(self.steps, device=self.lengths.device) < self.lengths[:, None]
        return live.reshape(*live.shape, *[1] * len(lattice)).expand(rows, self.steps, *lattice)

    def boundaries(self) -> Tensor | None:
        """`(B, T, *lattice)`: where the state starts anew before a step, in the direction of the scan.

        Backwards, the boundary before a real step is met at the real step that precedes it in time.
        """
        if self.reset is None or not self.reverse:
            return self.reset
        live = torch.ones_like(self.reset) if self.live is None else self.live
        met, after = [], torch.zeros_like(self.reset[:, 0])
        for t in reversed(range(self.steps)):
            met.append(after & live[:, t])
            after = torch.where(live[:, t], self.reset[:, t], after)
        return torch.stack(met[::-1], 1)

    @property
    def like(self) -> Tensor:
        """A tensor of the dtype and device at work."""
        return next(iter(self.state.values()))


Weights = tuple[Mapping[str, Tensor], Mapping[str, int]]
"""The weights of a layer by name, and the sizes of its axes"""
Head = tuple[Tensor, Tensor | None]
"""Weight and bias of a linear map"""


class Stepper(Protocol):
    """Takes single steps through a stack of layers with weights that it has laid out once."""

    def __call__(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """The output `(B, size)`, or the head's, of a step on `(B, size)`, or symbols `(B,)`, and the state after it.

        The states of the first layer are called ``0.h`` and so on.
        """

    def gave(self, state: Mapping[str, Tensor]) -> bool:
        """Whether it knows that a state fits, for it has given it."""


class Backend(Protocol):
    """A way to run scans of one graph. Making it raises BackendError with the reason where it never can."""

    @property
    def name(self) -> str:
        """As a user asks for it."""

    @property
    def why(self) -> str:
        """Why it can run the graph, in half a sentence."""

    def refuses_call(self, call: Call) -> str | None:
        """Why it cannot do this call, in half a sentence, or None."""

    def run(self, call: Call) -> Scan:
        """Do it; some row has a live step."""

    def stepper(
        self, layers: Sequence[Weights], rows: int, symbols: Collection[str] = (), head: Head | None = None
    ) -> Stepper | None:
        """A way to take single steps that beats `run`, for as long as the weights stay; None where it has none.

        :param layers: a stack of the graph, each layer reading what the one below puts out.
        :param symbols: the inputs of the first that are symbols.
        :param head: a linear map of what comes out.
        """
