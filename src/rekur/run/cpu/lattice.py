"""The order of rows and times on a lattice whose sites read each other: all sites of an image move in step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from rekur.run.cpu.order import SEGMENT, Flags, Form, Ints, Order, Segment, Table, segment_tables


def lattice(
    lead: tuple[int, ...],
    steps: int,
    live: Tensor | None,
    reverse: bool,
    reset: Tensor | None,
    by_image: bool,
    offsets: Sequence[int],
    threads: int,
) -> Order:
    """The order of sites of images, `(B, L)`: the live ones of a step are its first rows, an image's side by side.

    So a site has another row at each step, and what a row reads is looked up. Each state has a pool of rows:
    what it is handed, what it is after each step, what a reset goes back to, and zeros. A table says which row of
    the pool is read at a site, or at one that lies an offset away; the way back adds gradients to the same row.
    Another says which rows of a step are a thread's.

    :param offsets: those of the reads, 0 for a site's own.
    :param by_image: whether the hoisted part, too, gives all sites of an image to one thread.
    """
    form = Form(lead, steps, max(SEGMENT, lead[1]), False, reset is not None, lead[0] + 1)
    batch = form.batch
    alive: Flags = np.ones((steps, batch), dtype=bool) if live is None else _in_time(live.numpy(), reverse)
    after = np.where(alive, alive.cumsum(1) - 1 + batch * np.arange(1, steps + 1)[:, None], 0)  # its row of a pool
    sites = np.argsort(~alive, axis=1, kind="stable")  # whose site a row is
    held = np.maximum.accumulate(np.concatenate([np.arange(batch)[None], after]))
    read = held[:-1]
    if reset is not None:
        anew = _boundaries(alive, _in_time(reset.numpy(), reverse), reverse)
        read = np.where(anew, batch * (steps + 1) + np.arange(batch), read)
    starts = np.zeros((steps, lead[0] + 1), dtype=np.int64)
    alive.reshape(steps, *lead).sum(2).cumsum(1, out=starts[:, 1:])
    parts = 1 if form.divided(threads) else threads
    places = np.where(alive, after - batch, -1)
    active = alive.sum(1)
    tables: dict[str, Table] = {
        "active": active,
        "places": _out_of_time(places, lead, reverse), "rows": np.arange(batch), "finals": held[-1], "ends": held[-1],
        "sites": sites, "edges": starts[:, [lead[0] * k // parts for k in range(parts + 1)]],
        **_sources(np.where(alive.any(0), read, batch * (steps + 2)), sites, lead, offsets),
        **segment_tables(_segments(form, active, starts, threads if by_image else None)),
    }  # fmt: skip
    return Order.of(form, tables)


def _in_time(v: Flags, reverse: bool) -> Flags:
    """`(B, T, L)` -> `(T, B · L)`, in the order of work."""
    v = v.swapaxes(0, 1).reshape(v.shape[1], -1)
    return v[::-1] if reverse else v


def _out_of_time(v: Ints, lead: tuple[int, ...], reverse: bool) -> Ints:
    """`(T, B · L)` -> `(B, T, L)`"""
    return (v[::-1] if reverse else v).reshape(-1, *lead).swapaxes(0, 1)


def _boundaries(alive: Flags, reset: Flags, reverse: bool) -> Flags:
    """Where a site starts anew before a step. Backwards, the boundary before a live step is met at the one
    that precedes it in time.
    """
    if not reverse:
        return reset
    met = np.maximum.accumulate(np.where(alive, np.arange(len(alive))[:, None], -1))
    met = np.concatenate([np.full_like(met[:1], -1), met[:-1]])
    found: Flags = alive & (met >= 0) & np.take_along_axis(reset, met.clip(min=0), 0)
    return found


def _sources(seen: Ints, sites: Ints, lead: tuple[int, ...], offsets: Sequence[int]) -> dict[str, Table]:
    """The row of the pool that each row reads, offset by offset: of what a site has `seen`, or of zeros outside."""
    batch, steps, (_, size) = math.prod(lead), len(seen), lead
    at = seen.reshape(steps, *lead)
    found: dict[str, Table] = {}
    for k in offsets:
        near = np.full_like(at, batch * (steps + 2))
        width, to, of = max(0, size - abs(k)), max(0, -k), max(0, k)
        near[:, :, to : to + width] = at[:, :, of : of + width]
        found[f"source {k}"] = np.take_along_axis(near.reshape(steps, batch), sites, 1)
    return found


def _segments(form: Form, active: Ints, starts: Ints, owners: int | None) -> list[list[Segment]]:
    """Segments of live rows; with owners, of an image each, the next image for the next owner."""
    chunks: list[list[Segment]] = []
    for t0, t1 in form.spans:
        found: list[Segment] = []
        for t in range(t0, t1):
            m = t * form.batch
            if owners is None:
                n = int(active[t])
                found += [(m + r, 0, 1, 0, min(SEGMENT, n - r)) for r in range(0, n, SEGMENT)]
            else:
                found += [(m + r, 0, 1, 0, end - r) for r, end in pairwise(starts[t].tolist())]
                found += [(m, 0, 1, 0, 0)] * (-form.lead[0] % owners)
        chunks.append(found)
    return chunks
