"""The order in which a kernel has rows and times: longest row first, and each row's first live step at time 0."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Segment = tuple[int, int, int, int, int]
"""(m, b, sm, sb, count) of rows that are done together, as blocks are given them"""
SHARED_ROWS = 16  # fewer than this are done by all threads together
SEGMENT = 64  # rows of the hoisted part that are done together
CHUNK = 256  # rows of the way back whose gradients are kept at a time: what a tile sums over stays in the first cache


class Order(ABC):
    """What code asks about time: which rows are live, what is hoisted together, and public arrays in inner order."""

    active: Tensor
    """`(T,)`: the live rows of each step are the first so many"""
    follows: bool
    """Whether what a step reads of a state is what the step before has left, always"""
    finals: Tensor | slice
    """The rows of a state's gradient that the gradient in its last value comes in by"""

    def __init__(self, lead: tuple[int, ...], steps: int, reverse: bool) -> None:
        self.lead, self.steps, self.reverse = lead, steps, reverse
        self.batch = math.prod(lead)
        self.lasting = False  # whether it is kept for calls that are alike
        self.chunk = max(1, min(steps, CHUNK // self.batch))
        self.chunks = -(-steps // self.chunk)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The steps of each chunk; the last one in time comes first."""
        ends = [self.steps - c * self.chunk for c in range(self.chunks)]
        return [(max(0, t1 - self.chunk), t1) for t1 in ends]

    def tabulate(self, chunks: Sequence[Sequence[Segment]]) -> None:
        """Keep the segments of the hoisted part, chunk by chunk, where code reads them."""
        self.segment_rows = max((s[-1] for found in chunks for s in found), default=0)
        table = torch.tensor([s for found in chunks for s in found], dtype=torch.int64, device="cpu")
        table = table.reshape(-1, 5).T.contiguous()
        ends = torch.tensor([0, *map(len, chunks)], dtype=torch.int64, device="cpu").cumsum(0)
        self.segments = {f"segment {k}": table[i] for i, k in enumerate(("m", "b", "sm", "sb", "count"))}
        self.segments["chunk segments"] = ends

    def tables(self) -> dict[str, Tensor | None]:
        """Array of integers -> what code reads there."""
        return {"active": self.active, **self.segments}

    def divided(self, threads: int) -> bool:
        """Whether all threads share each row, because there are too few to go round."""
        return threads > 1 and self.batch < SHARED_ROWS

    @abstractmethod
    def inward(self, v: Tensor) -> Tensor:
        """`(B, T, *lattice, …)` -> `(T, rows, …)`"""

    @abstractmethod
    def outward(self, v: Tensor) -> Tensor:
        """`(T, rows, …)` -> `(B, T, *lattice, …)`, zero where a row is not live; a copy."""

    @abstractmethod
    def batch_in(self, v: Tensor) -> Tensor:
        """`(B, *lattice, …)` -> the rows in inner order."""

    @abstractmethod
    def batch_out(self, v: Tensor) -> Tensor:
        """The rows of `batch_in` where they were; a copy."""

    @abstractmethod
    def last(self, v: Tensor) -> Tensor:
        """`(T + 1, rows, …)` -> `(B, *lattice, …)`: what each row holds after its last step."""


class Sequences(Order):
    """Rows that know nothing of each other: sequences of the batch, or of a lattice's sites.

    They are sorted by how many live steps they have, so the live ones of a step are the first. Each begins with
    its first live step and has no gaps, for a step that is not live changes nothing; a reversed layer begins with
    the last.
    """

    def __init__(
        self,
        lead: tuple[int, ...],
        steps: int,
        lengths: Tensor | None,
        live: Tensor | None,
        reverse: bool,
        reset: Tensor | None,
        by_row: bool,
    ) -> None:
        super().__init__(lead, steps, reverse)
        self.finals, self.follows = slice(None), reset is None
        self.rows: Tensor | None = None
        self.times: Tensor | None = None
        """`(rows, T)`: the time of each step of work; None where that is as it is, or is turned round"""
        if lengths is None and live is None:
            self.active = torch.full((steps,), self.batch, dtype=torch.int64, device="cpu")
        else:
            self._sort(lengths, live)
        self.reset = None if reset is None else self._inner_reset(reset)
        self._cut(by_row or self.rows is not None, steps if by_row else SEGMENT)

    def _sort(self, lengths: Tensor | None, live: Tensor | None) -> None:
        """From lengths `(B,)`, or from a mask that may have gaps."""
        if lengths is not None:
            counts = lengths.repeat_interleave(self.batch // self.lead[0])
        else:
            assert live is not None
            live = self._by_row(live)
            counts = live.sum(1)
        self.sorted, self.rows = counts.sort(descending=True, stable=True)
        t = torch.arange(self.steps, device="cpu")
        self.active = (self.sorted[None] > t[:, None]).sum(1)
        if self.reverse:
            mirrored = self.sorted[:, None] - 1 - t
            self.times = torch.where(mirrored >= 0, mirrored, t)
        if lengths is None and live is not None:
            met = (~live[self.rows]).to(torch.uint8).argsort(dim=1, stable=True)  # the live ones, then the others
            self.times = met if self.times is None else met.gather(1, self.times)

    # ---- between the two orders

    def inward(self, v: Tensor) -> Tensor:
        """Sort rows, and the steps of each."""
        v = self._by_row(v)
        if self.rows is None:
            v = v.flip(1) if self.reverse else v
        else:
            v = v[self.rows] if self.times is None else v[self.rows[:, None], self.times]
        return v.transpose(0, 1)

    def outward(self, v: Tensor) -> Tensor:
        """Put rows and steps where they were."""
        v = v.transpose(0, 1)
        if self.rows is None:  # never the memory that is kept
            out = v.flip(1).contiguous() if self.reverse else v.clone(memory_format=torch.contiguous_format)
        else:
            live = torch.arange(self.steps, device="cpu") < self.sorted[:, None]
            v = torch.where(live.reshape(*live.shape, *[1] * (v.dim() - 2)), v, 0.0)
            out = torch.empty_like(v)
            if self.times is None:
                out.index_copy_(0, self.rows, v)
            else:
                out[self.rows[:, None], self.times] = v
        if len(self.lead) == 1:
            return out
        return out.reshape(*self.lead, *out.shape[1:]).movedim(2, 1).contiguous()

    def batch_in(self, v: Tensor) -> Tensor:
        """Sort rows."""
        v = v if len(self.lead) == 1 else v.flatten(0, 1)
        return v if self.rows is None else v[self.rows]

    def batch_out(self, v: Tensor) -> Tensor:
        """Put rows where they were."""
        contiguous = torch.contiguous_format
        if self.rows is None:
            v = v.clone(memory_format=contiguous)
        else:
            v = torch.empty_like(v, memory_format=contiguous).index_copy_(0, self.rows, v)
        return v if len(self.lead) == 1 else v.reshape(*self.lead, *v.shape[1:])

    def last(self, v: Tensor) -> Tensor:
        """After as many steps as a row has."""
        if self.rows is None:
            return self.batch_out(v.select(0, -1))
        return self.batch_out(v[self.sorted, torch.arange(self.batch, device="cpu")])

    def _by_row(self, v: Tensor) -> Tensor:
        """`(B, T, *lattice, …)` -> `(rows, T, …)`"""
        return v if len(self.lead) == 1 else v.movedim(2, 1).flatten(0, 1)

    def _inner_reset(self, reset: Tensor) -> Tensor:
        """Boundaries before a step, in the order of work."""
        inner = self.inward(reset)
        if self.reverse:  # the boundary before a step in time is met on the way from that step to the next one
            inner = torch.cat([torch.zeros_like(inner[:1]), inner[:-1]])
        return inner.to(torch.uint8).contiguous()

    # ---- the hoisted part, in segments

    def _cut(self, by_row: bool, most: int) -> None:
        lengths = [self.steps] * self.batch if self.rows is None else self.sorted.tolist()
        chunks: list[list[Segment]] = []
        for t0, t1 in self.spans:
            found: list[Segment] = []
            if by_row:
                for b in range(self.batch):
                    stop = min(t1, lengths[b])
                    starts = range(t0, stop, most)
                    found += [(t * self.batch + b, b, self.batch, 0, min(most, stop - t)) for t in starts]
            else:
                end = t1 * self.batch
                found += [(m, 0, 1, 0, min(SEGMENT, end - m)) for m in range(t0 * self.batch, end, SEGMENT)]
            chunks.append(found)
        self.tabulate(chunks)

    def tables(self) -> dict[str, Tensor | None]:
        """With the flags of resets."""
        return {**super().tables(), "reset": self.reset}


@lru_cache(maxsize=64)
def _whole(lead: tuple[int, ...], steps: int, reverse: bool, by_row: bool) -> Order:
    order = Sequences(lead, steps, None, None, reverse, None, by_row)
    order.lasting = True
    return order


def order_of(
    lead: tuple[int, ...],
    steps: int,
    lengths: Tensor | None,
    live: Tensor | None,
    reverse: bool,
    reset: Tensor | None,
    by_row: bool,
) -> Order:
    """The order of a call; where nothing depends on values, the same as before."""
    if live is None and reset is None:
        return _whole(lead, steps, reverse, by_row)
    return Sequences(lead, steps, lengths, live, reverse, reset, by_row)
