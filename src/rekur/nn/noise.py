"""What training disturbs inside a layer, and the masks for it: each a function of row, layer, unit and step alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rekur.errors import OptionError, ShapeError, suggest
from rekur.graph import Graph, masked_state, mean_zoneout, recurrent_weights, zoneout

NAME = "noise"
"""The entry of a stack's state that says which masks its rows have"""


def share(name: str, p: object) -> None:
    """Raise OptionError where `p` is not a share of what there is."""
    if not isinstance(p, int | float) or isinstance(p, bool) or not 0.0 <= p < 1.0:
        raise OptionError(f"{name} must lie in 0 ≤ p < 1, got {p!r}")


def dropped(x: Tensor, p: float, training: bool) -> Tensor:
    """torch's dropout by a mask that follows the places of `x`, however it lies in memory."""
    return nn.functional.dropout(x.contiguous(), p, training) if p and training else x


@dataclass(frozen=True)
class Noise:
    """How much of a layer is disturbed while it trains; in evaluation it is not.

    >>> from rekur.cells import lstm
    >>> from rekur.nn import Layer
    >>> Layer(lstm, {"I": 2, "H": 3}, noise=Noise(recurrent_dropout=0.2, zoneout={"c": 0.5}))
    Layer(lstm, I=2, H=3, recurrent_dropout=0.2, zoneout={'c': 0.5})
    """

    input_dropout: float = 0.0
    """The share of the input's features that are dropped, the same ones at all steps of a sequence:
    ``x_t ∘ m``, m = 0 or 1 / (1 - p) (Gal and Ghahramani, 2016)"""
    recurrent_dropout: float = 0.0
    """The share of the output state's units that products do not see, the same ones at all steps of a sequence:
    ``U (h ∘ m)`` for ``U h`` (Gal and Ghahramani, 2016; see `rekur.graph.masked_state`)"""
    zoneout: float | Mapping[str, float] = 0.0
    """The share of units that keep their value in a step, drawn anew at every step, for all states or by state:
    ``s' = d ∘ s + (1 - d) ∘ new``; in evaluation ``p s + (1 - p) new`` (Krueger et al., 2017)"""
    weight_drop: float = 0.0
    """The share that is dropped of the weights that multiply the output state, the same ones for all rows and steps
    of a call: ``(U ∘ M) h`` (DropConnect; Merity, Keskar and Socher, 2018)"""

    def __post_init__(self) -> None:
        for name in ("input_dropout", "recurrent_dropout", "weight_drop"):
            share(name, getattr(self, name))
        if isinstance(self.zoneout, Mapping):
            for state, p in self.zoneout.items():
                share(f"zoneout[{state!r}]", p)
        else:
            share("zoneout", self.zoneout)

    @property
    def masks(self) -> bool:
        """Whether there are masks that a sequence keeps."""
        return bool(self.input_dropout or self.recurrent_dropout or self.zoned)

    def __bool__(self) -> bool:
        """Whether anything is disturbed."""
        return self.masks or self.weight_drop > 0

    @property
    def zoned(self) -> bool:
        """Whether any unit may keep its value."""
        return any(self.zoneout.values()) if isinstance(self.zoneout, Mapping) else self.zoneout > 0

    def rates(self, graph: Graph) -> dict[str, float]:
        """State -> its share of zoneout, where there is one; OptionError for a state that the cell has not."""
        states = [a.name for a in graph.of("state")]
        rates = self.zoneout if isinstance(self.zoneout, Mapping) else dict.fromkeys(states, self.zoneout)
        for name in rates:
            if name not in states:
                raise OptionError(
                    f"zoneout: {graph.name} has no state {name!r}; it has {', '.join(states)}{suggest(name, states)}"
                )
        return {s: p for s, p in rates.items() if p}

    def in_training(self, graph: Graph) -> Graph:
        """The cell with places for masks; OptionError where there is nothing to disturb."""
        for name in ("recurrent_dropout", "weight_drop"):
            if getattr(self, name) and not recurrent_weights(graph):
                raise OptionError(
                    f"{name}: {graph.name} multiplies its state by no matrix, so there is nothing to drop; "
                    "use zoneout, input_dropout or dropout"
                )
        if self.recurrent_dropout:
            graph = masked_state(graph)
        rates = self.rates(graph)
        return zoneout(graph, rates) if rates else graph

    def in_evaluation(self, graph: Graph) -> Graph:
        """The cell as it is, or with the mean of zoneout."""
        rates = self.rates(graph)
        return mean_zoneout(graph, rates) if rates else graph

    def __str__(self) -> str:
        """What is not zero, as it was given."""
        return ", ".join(f"{k}={v}" for k, v in vars(self).items() if v)


class Masks(NamedTuple):
    """Which masks the rows of a call have.

    A mask is a function of the row's key, of layer, unit and, where it changes with time, of the step's number: the
    same on all devices and backends, whatever rows are beside it and however the sequence is cut in chunks.
    """

    key: Tensor
    """`(B,)` of int32"""
    start: Tensor
    """`(B,)`: the number of the first step"""

    @classmethod
    def of(cls, rows: int, carried: Tensor | None, device: torch.device) -> Masks:
        """Of the rows that a state carries; new ones, from torch's default generator, where it carries none (0)."""
        key = torch.randint(1, 2**31 - 1, (rows,), device="cpu").to(device)
        start = torch.zeros_like(key)
        if carried is not None:
            if carried.shape != (rows, 2) or carried.dtype != torch.int64:
                got = f"{tuple(carried.shape)} of {carried.dtype}"
                raise ShapeError(f"the state's {NAME!r} must be ({rows}, 2) of int64, got {got}; leave it as it came")
            key, start = torch.where(carried[:, 0] > 0, carried[:, 0], key), carried[:, 1]
        return cls(key, start)

    def carry(self, steps: int, lengths: Tensor | Sequence[int] | None) -> Tensor:
        """What the state carries on after a call."""
        passed = steps if lengths is None else torch.as_tensor(lengths, device=self.start.device)
        return torch.stack([self.key, self.start + passed], 1)

    def of_layer(self, index: int) -> Masks:
        """The rows' masks in one of the chains of a stack."""
        return Masks(_mixed(self.key.to(torch.int32) + _turned(index + 1)), self.start)

    def kept(self, what: str, sizes: Sequence[int], p: float, steps: int | None = None) -> Tensor:
        """True with probability 1 - p: `(B, *sizes)`, or `(B, steps, *sizes)` where it is drawn anew at every step.

        :param what: a name, so that different masks of a layer do not know of each other.
        """
        key = _mixed(self.key + _turned(sum(c * 31**i for i, c in enumerate(what.encode()))))
        if steps is not None:
            at = self.start[:, None] + torch.arange(steps, device=key.device)
            key = _mixed(key[:, None] ^ at.to(torch.int32))
        units = torch.arange(math.prod(sizes), device=key.device, dtype=torch.int32)
        drawn = _mixed(key[..., None] ^ _mixed(units + _turned(1)))
        return (drawn >= math.floor(p * 2**32) - 2**31).reshape(*key.shape, *sizes)

    def scaled(self, what: str, sizes: Sequence[int], p: float, dtype: torch.dtype) -> Tensor:
        """The mask of dropout: 0, or 1 / (1 - p)."""
        return self.kept(what, sizes, p).to(dtype) / (1 - p)


def _turned(n: int) -> int:
    """n times the golden ratio, as an int32: numbers that are close come to lie far apart."""
    return (n * 0x9E3779B9 + 2**31) % 2**32 - 2**31


def _mixed(v: Tensor) -> Tensor:
    """int32 -> int32, each bit of which depends on all bits of `v`: lowbias32 of C. Wellons, "hash-prospector"."""
    v = v ^ ((v >> 16) & 0xFFFF)
    v *= 0x7FEB352D
    v ^= (v >> 15) & 0x1FFFF
    v *= 0x846CA68B - 2**32
    v ^= (v >> 16) & 0xFFFF
    return v
