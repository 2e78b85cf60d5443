"""The order in which a kernel has rows and times: longest row first, and each row's own first step at time 0."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

SEGMENT = 96  # rows of the hoisted part that are done together
CHUNK = 512  # rows of the way back whose gradients are kept at a time


class Order:
    """Public `(B, T, …)` and inner `(T · B, …)` arrays, and what the code asks about time.

    Rows are sorted by length, so the live ones of a step are the first; a reversed layer begins with the last
    real step of each row.
    """

    def __init__(
        self, batch: int, steps: int, lengths: Tensor | None, reverse: bool, reset: Tensor | None, by_row: bool
    ) -> None:
        self.batch, self.steps, self.lengths, self.reverse = batch, steps, lengths, reverse
        self.rows: Tensor | None = None
        self.lasting = False  # whether it is kept for calls that are alike
        if lengths is None:
            self.active = torch.full((steps,), batch, dtype=torch.int64)
        else:
            self.sorted, self.rows = lengths.sort(descending=True, stable=True)
            self.active = (self.sorted[None] > torch.arange(steps)[:, None]).sum(1)
        self.chunk = max(1, min(steps, CHUNK // batch))
        self.chunks = -(-steps // self.chunk)
        self.reset = None if reset is None else self._inner_reset(reset)
        self._cut(by_row or lengths is not None, steps if by_row else SEGMENT)

    # ---- between the two orders

    def inward(self, v: Tensor) -> Tensor:
        """`(B, T, …)` -> `(T, B, …)`"""
        return self._times(v if self.rows is None else v[self.rows]).transpose(0, 1)

    def outward(self, v: Tensor) -> Tensor:
        """`(T, B, …)` -> `(B, T, …)`, zero where a row is not live."""
        v = self._times(v.transpose(0, 1))
        if self.rows is None:
            return v.clone(memory_format=torch.contiguous_format)  # never the memory that is kept
        live = torch.arange(self.steps) < self.sorted[:, None]
        v = torch.where(live.reshape(*live.shape, *[1] * (v.dim() - 2)), v, 0.0)
        return torch.empty_like(v).index_copy_(0, self.rows, v)

    def batch_in(self, v: Tensor) -> Tensor:
        """`(B, …)` -> the same in inner order."""
        return v if self.rows is None else v[self.rows]

    def batch_out(self, v: Tensor) -> Tensor:
        """The rows of `batch_in` where they were; a copy."""
        return v.clone() if self.rows is None else torch.empty_like(v).index_copy_(0, self.rows, v)

    def last(self, v: Tensor) -> Tensor:
        """`(T + 1, B, …)` -> `(B, …)`: what each row holds after its last step, in public order."""
        if self.rows is None:
            return v[-1].clone()
        return self.batch_out(v[self.sorted, torch.arange(self.batch)])

    def _times(self, v: Tensor) -> Tensor:
        """Rows in inner order, `(B, T, …)`: each one's steps in the order of work, or back again."""
        if not self.reverse:
            return v
        if self.rows is None:
            return v.flip(1)
        t = torch.arange(self.steps)
        mirrored = self.sorted[:, None] - 1 - t
        return v[torch.arange(self.batch)[:, None], torch.where(mirrored >= 0, mirrored, t)]

    def _inner_reset(self, reset: Tensor) -> Tensor:
        """Boundaries before a step, in the order of work."""
        if self.reverse:  # the boundary between t and t + 1 is met before t; there is none after the last real step
            reset = torch.cat([reset[:, 1:], torch.zeros_like(reset[:, :1])], 1)
            if self.lengths is not None:
                reset = reset & (torch.arange(1, self.steps + 1) < self.lengths[:, None])
        return self.inward(reset).to(torch.uint8).contiguous()

    # ---- the hoisted part, in segments

    def _cut(self, by_row: bool, most: int) -> None:
        """Segments of rows for each chunk, the last one in time first."""
        spans = []
        for c in range(self.chunks):
            t1 = self.steps - c * self.chunk
            spans.append((max(0, t1 - self.chunk), t1))
        found: list[tuple[int, int, int, int, int]] = []
        ends = [0]
        lengths = [self.steps] * self.batch if self.rows is None else self.sorted.tolist()
        for t0, t1 in spans:
            if by_row:
                for b in range(self.batch):
                    stop = min(t1, lengths[b])
                    starts = range(t0, stop, most)
                    found += [(t * self.batch + b, b, self.batch, 0, min(most, stop - t)) for t in starts]
            else:
                end = t1 * self.batch
                found += [(m, 0, 1, 0, min(SEGMENT, end - m)) for m in range(t0 * self.batch, end, SEGMENT)]
            ends.append(len(found))
        table = torch.tensor(found, dtype=torch.int64).reshape(-1, 5).T.contiguous()
        self.segments = {f"segment {k}": table[i] for i, k in enumerate(("m", "b", "sm", "sb", "count"))}
        self.chunk_segments = torch.tensor(ends, dtype=torch.int64)
        self.segment_rows = most


@lru_cache(maxsize=64)
def _whole(batch: int, steps: int, reverse: bool, by_row: bool) -> Order:
    order = Order(batch, steps, None, reverse, None, by_row)
    order.lasting = True
    return order


def order_of(
    batch: int, steps: int, lengths: Tensor | None, reverse: bool, reset: Tensor | None, by_row: bool
) -> Order:
    """The order of a call; where nothing depends on values, the same as before."""
    if lengths is None and reset is None:
        return _whole(batch, steps, reverse, by_row)
    return Order(batch, steps, lengths, reverse, reset, by_row)
