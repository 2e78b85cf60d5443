"""The order of rows and times on a lattice whose sites read each other: all sites of an image move in step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from rekur.run.cpu.order import SEGMENT, Order, Segment


class Lattice(Order):
    """Sites of images, `(B, L)`: the live ones of each step are its first rows, those of an image side by side.

    So a site has another row at each step, and what a row reads is looked up. Each state has a pool of rows:
    what it is handed, what it is after each step, what a reset goes back to, and zeros. A table says which row of
    the pool is read at a site, or at one that lies an offset away; the way back adds gradients to the same row.

    :param offsets: those of the reads, 0 for a site's own.
    :param by_image: whether the hoisted part, too, gives all sites of an image to one thread.
    """

    def __init__(
        self,
        lead: tuple[int, ...],
        steps: int,
        live: Tensor | None,
        reverse: bool,
        reset: Tensor | None,
        by_image: bool,
        offsets: Sequence[int],
        threads: int,
    ) -> None:
        super().__init__(lead, steps, reverse)
        self.whole, self.follows = live is None, False
        every = torch.ones(steps, self.batch, dtype=torch.bool, device="cpu")
        self.live = every if live is None else self._in_time(live)
        self.active = self.live.sum(1)
        order = (~self.live).to(torch.uint8).argsort(dim=1, stable=True)
        self.sites = order.contiguous()  # (T, rows): whose site a row is
        self._look_up(None if reset is None else self._in_time(reset), offsets)
        images = self.live.view(steps, *lead).sum(2)
        self._starts = torch.cat([torch.zeros_like(images[:, :1]), images.cumsum(1)], 1)
        parts = 1 if self.divided(threads) else threads
        self.edges = self._starts[:, [lead[0] * k // parts for k in range(parts + 1)]].contiguous()
        self._cut(threads if by_image else None)

    def divided(self, threads: int) -> bool:
        """An image is one thread's, so there must be enough of them."""
        return threads > self.lead[0]

    def _look_up(self, reset: Tensor | None, offsets: Sequence[int]) -> None:
        """The row of the pool that each row reads, offset by offset; and where each site's last value is."""
        initial, outside = self.batch * (self.steps + 1), self.batch * (self.steps + 2)
        sites = torch.arange(self.batch, device="cpu")
        after = self.live.cumsum(1) - 1 + self.batch * torch.arange(1, self.steps + 1, device="cpu")[:, None]
        held = torch.cat([sites[None], torch.where(self.live, after, 0)]).cummax(0).values
        self.finals, before = held[-1], held[:-1]
        if reset is not None:
            before = torch.where(self._boundaries(reset), initial + sites, before)
        seen = torch.where(self.live.any(0), before, outside).view(self.steps, *self.lead)
        self.sources = {}
        for k in offsets:
            near = torch.full_like(seen, outside)
            width = self.lead[1] - abs(k)
            if width > 0:
                near.narrow(2, max(0, -k), width).copy_(seen.narrow(2, max(0, k), width))
            self.sources[f"source {k}"] = near.flatten(1).gather(1, self.sites).contiguous()

    def _boundaries(self, reset: Tensor) -> Tensor:
        """Where a site starts anew before a step. Backwards, the boundary before a live step is met at the one
        that precedes it in time.
        """
        if not self.reverse:
            return reset
        met = torch.where(self.live, torch.arange(self.steps, device="cpu")[:, None], -1).cummax(0).values
        met = torch.cat([torch.full_like(met[:1], -1), met[:-1]])
        return self.live & (met >= 0) & reset.gather(0, met.clamp(min=0))

    def _cut(self, owners: int | None) -> None:
        """Segments of live rows; with owners, of an image each, the next image for the next owner."""
        chunks: list[list[Segment]] = []
        for t0, t1 in self.spans:
            found: list[Segment] = []
            for t in range(t0, t1):
                m = t * self.batch
                if owners is None:
                    n = int(self.active[t])
                    found += [(m + r, 0, 1, 0, min(SEGMENT, n - r)) for r in range(0, n, SEGMENT)]
                else:
                    edges = self._starts[t].tolist()
                    found += [(m + r, 0, 1, 0, end - r) for r, end in pairwise(edges)]
                    found += [(m, 0, 1, 0, 0)] * (-self.lead[0] % owners)
            chunks.append(found)
        self.tabulate(chunks)

    def tables(self) -> dict[str, Tensor | None]:
        """With where each row reads, whose it is, and which rows are a thread's."""
        return {**super().tables(), **self.sources, "edges": self.edges, "sites": self.sites}

    # ---- between the two orders

    def _in_time(self, v: Tensor) -> Tensor:
        """`(B, T, L, …)` -> `(T, B · L, …)`, in the order of work."""
        v = v.transpose(0, 1).flatten(1, 2)
        return v.flip(0) if self.reverse else v

    def inward(self, v: Tensor) -> Tensor:
        """Sort the sites of each step."""
        v = self._in_time(v)
        return v if self.whole else v[torch.arange(self.steps, device="cpu")[:, None], self.sites]

    def outward(self, v: Tensor) -> Tensor:
        """Put them where they were."""
        if not self.whole:
            rows = torch.arange(self.batch, device="cpu") < self.active[:, None]
            v = torch.zeros_like(v, memory_format=torch.contiguous_format).masked_scatter_(
                self.live.reshape(*self.live.shape, *[1] * (v.dim() - 2)), v[rows]
            )
        v = (v.flip(0) if self.reverse else v).reshape(self.steps, *self.lead, *v.shape[2:]).transpose(0, 1)
        return v.clone(memory_format=torch.contiguous_format)

    def batch_in(self, v: Tensor) -> Tensor:
        """Image after image."""
        return v.flatten(0, 1)

    def batch_out(self, v: Tensor) -> Tensor:
        """The first rows of a pool, too: what is handed in."""
        return v[: self.batch].clone().reshape(*self.lead, *v.shape[1:])

    def last(self, v: Tensor) -> Tensor:
        """After the last live step of each site."""
        return v.flatten(0, 1)[self.finals].reshape(*self.lead, *v.shape[2:])
