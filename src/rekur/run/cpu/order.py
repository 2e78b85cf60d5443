"""The order in which a kernel has rows and times: longest row first, and each row's first live step at time 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rekur.run.cpu.library import native

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Table = NDArray[Any]
Segment = tuple[int, int, int, int, int]
"""(m, b, sm, sb, count) of rows that are done together, as blocks are given them"""
SHARED_ROWS = 16  # fewer than this are done by all threads together
SEGMENT = 64  # rows of the hoisted part that are done together
CHUNK = 256  # rows of the way back whose gradients are kept at a time: what a tile sums over stays in the first cache


TABLES = ("active", "chunk segments", "edges", "reset", "segment ", "sites", "source ")
"""How the names of tables begin that code reads itself, and of no other array"""


class Form(NamedTuple):
    """What shapes, and the memory of a call, depend on; the same for calls whose tables differ."""

    lead: tuple[int, ...]
    """The batch and, where there is one, the lattice"""
    steps: int
    segment_rows: int
    """The most rows of a segment"""
    follows: bool
    """Whether what a step reads of a state is what the step before has left, always"""
    resets: bool
    shared: int
    """The threads that are too many to go round: then all share each row"""

    @property
    def batch(self) -> int:
        """Rows, with those of a lattice."""
        return math.prod(self.lead)

    @property
    def chunk(self) -> int:
        """Steps whose gradients are kept at a time."""
        return max(1, min(self.steps, CHUNK // self.batch))

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The steps of each chunk; the last one in time comes first."""
        ends = range(self.steps, 0, -self.chunk)
        return [(max(0, t1 - self.chunk), t1) for t1 in ends]

    def divided(self, threads: int) -> bool:
        """Whether all threads share each row, because there are too few to go round."""
        return threads >= self.shared


class Order(NamedTuple):
    """What code asks about time, as tables of integers.

    ``active`` (T): the live rows of each step are the first so many. ``segment …``, ``chunk segments``: what is
    hoisted together. And where the values of a call are: ``places`` (B, T, *lattice) has the row of arrays over time,
    -1 where none is live; ``rows`` (B, *lattice) that of arrays over the batch; ``finals`` that in a state's array
    after the last step of each, ``ends`` where the gradient in this value comes in.
    """

    form: Form
    tables: Mapping[str, Table]
    addresses: Mapping[str, int]

    @classmethod
    def of(cls, form: Form, tables: Mapping[str, Table], known: Mapping[str, int] | None = None) -> Order:
        """With tables as code reads them.

        :param known: the addresses of those that are as code reads them already.
        """
        known = known or {}
        new = {k: np.ascontiguousarray(v) for k, v in tables.items() if k not in known}
        return cls(form, {**tables, **new}, {"reset": 0, **known, **addresses_of(new)})


def addresses_of(tables: Mapping[str, Table]) -> dict[str, int]:
    """Where they begin."""
    return {k: v.__array_interface__["data"][0] for k, v in tables.items()}


def segment_tables(chunks: Sequence[Sequence[Segment]]) -> dict[str, Table]:
    """The segments of the hoisted part, chunk by chunk, as code reads them."""
    table = np.array([s for found in chunks for s in found], dtype=np.int64).reshape(-1, 5).T.copy()
    names = (f"segment {k}" for k in ("m", "b", "sm", "sb", "count"))
    ends = np.array([0, *map(len, chunks)], dtype=np.int64).cumsum()
    return {**dict(zip(names, table, strict=True)), "chunk segments": ends}


class _Cut(NamedTuple):
    """The hoisted part of rows of which as many are live as it turns out: a segment of nothing costs little.

    A segment goes on, over the times of a row or the rows of a step, until it is full or no more are live.
    """

    tables: Mapping[str, Table]
    addresses: Mapping[str, int]
    whose: Ints
    """Of each segment: the row, or the step"""
    start: Ints
    stop: Ints

    def counts(self, live: Ints) -> Ints:
        """Of each segment, where so many times of each row, or rows of each step, are live."""
        return np.maximum(np.minimum(self.stop, live[self.whose]) - self.start, 0)


@lru_cache(maxsize=64)
def _cut(form: Form, by_row: bool, most: int) -> _Cut:
    """By row, a segment is some times of one row; else some rows of one step."""
    n = form.batch
    chunks: list[list[Segment]] = []
    limits = []
    for t0, t1 in form.spans:
        if by_row:
            one = [(b, t, min(t1, t + most)) for b in range(n) for t in range(t0, t1, most)]
            chunks.append([(t * n + b, b, n, 0, 0) for b, t, _ in one])
        else:
            one = [(t, b, min(n, b + most)) for t in range(t0, t1) for b in range(0, n, most)]
            chunks.append([(t * n + b, b, 1, 1, 0) for t, b, _ in one])
        limits += one
    whose, start, stop = np.array(limits, dtype=np.int64).T.copy()
    tables = segment_tables(chunks)
    del tables["segment count"]  # which is another one for each call
    return _Cut(tables, addresses_of(tables), whose, start, stop)


def _form(lead: tuple[int, ...], steps: int, most: int, resets: bool) -> Form:
    batch = math.prod(lead)
    few = 2 if batch < SHARED_ROWS else 1 << 62
    return Form(lead, steps, min(most, steps * batch), not resets, resets, few)


def sequences(
    lead: tuple[int, ...],
    steps: int,
    lengths: Tensor | None,
    live: Tensor | None,
    reverse: bool,
    reset: Tensor | None,
    by_row: bool,
) -> Order:
    """The order of rows that know nothing of each other: sequences of the batch, or of a lattice's sites.

    They are sorted by how many live steps they have, so the live ones of a step are the first. Each begins with
    its first live step and has no gaps, for a step that is not live changes nothing; a reversed layer begins with
    the last.

    :param lengths: `(B,)`, or `live` `(B, T, *lattice)`, a mask that may have gaps; all is live without either.
    :param by_row: whether a segment of the hoisted part must be of one row.
    """
    batch, known = math.prod(lead), dict[str, int]()
    if live is None:
        counts = np.full(lead[0], steps) if lengths is None else lengths.numpy()
        tables, known = _of_lengths(lead, steps, np.ascontiguousarray(counts), reverse)
    else:
        tables = _of_mask(lead, _by_row(live.numpy(), lead), reverse)
    if reset is not None:
        tables["reset"] = _resets(_by_row(tables["places"], lead), _by_row(reset.numpy(), lead), reverse)
    if not by_row and lengths is None and live is None:
        form = _form(lead, steps, SEGMENT, reset is not None)
        spans = [(t0 * batch, t1 * batch) for t0, t1 in form.spans]
        segments = [[(m, 0, 1, 0, min(SEGMENT, end - m)) for m in range(start, end, SEGMENT)] for start, end in spans]
        return Order.of(form, tables | segment_tables(segments), known)
    most = steps if by_row else SEGMENT
    by_row = by_row or batch < SHARED_ROWS
    form = _form(lead, steps, most, reset is not None)
    cut = _cut(form, by_row, most)
    live_of = np.sort(tables["finals"].ravel() // batch)[::-1] if by_row else tables["active"]
    tables["segment count"] = cut.counts(live_of)
    return Order.of(form, {**cut.tables, **tables}, {**cut.addresses, **known})


def _of_lengths(
    lead: tuple[int, ...], steps: int, lengths: Ints, reverse: bool
) -> tuple[dict[str, Table], dict[str, int]]:
    """Tables and their addresses; in one piece of memory, by native code, for that is to be done at every call."""
    rows = math.prod(lead)
    names, sizes = ("active", "places", "rows", "finals"), (steps, rows * steps, rows, rows)
    starts = [*accumulate(sizes, initial=steps + 1)]  # before the first lies working space
    memory = np.empty(starts[-1], dtype=np.int64)
    at, given = (v.__array_interface__["data"][0] for v in (memory, lengths))
    addresses = {k: at + 8 * n for k, n in zip(names, starts, strict=False)}
    native("rank")(given, lead[0], rows // lead[0], steps, reverse, at, *addresses.values())
    tables: dict[str, Table] = {k: memory[n : n + size] for k, n, size in zip(names, starts, sizes, strict=False)}
    tables["places"] = tables["places"].reshape(lead[0], steps, *lead[1:])
    return tables | {"ends": tables["rows"]}, addresses | {"ends": addresses["rows"]}


def _of_mask(lead: tuple[int, ...], alive: Flags, reverse: bool) -> dict[str, Table]:
    """The tables of rows `(rows, T)` that may have gaps."""
    batch, steps = alive.shape
    counts, before = alive.sum(1), alive.cumsum(1) - 1
    order = np.argsort(-counts, kind="stable")
    inner = np.empty_like(order)
    inner[order] = np.arange(batch)
    done = counts[:, None] - 1 - before if reverse else before
    places = np.where(alive, done * batch + inner[:, None], -1)
    active = batch - counts[order[::-1]].searchsorted(np.arange(steps), side="right")
    return {
        "active": active, "places": _in_time(places, lead), "rows": inner, "ends": inner,
        "finals": counts * batch + inner,
    }  # fmt: skip


@lru_cache(maxsize=64)
def _whole(lead: tuple[int, ...], steps: int, reverse: bool, by_row: bool) -> Order:
    return sequences(lead, steps, None, None, reverse, None, by_row)


def order_of(
    lead: tuple[int, ...],
    steps: int,
    lengths: Tensor | None,
    live: Tensor | None,
    reverse: bool,
    reset: Tensor | None,
    by_row: bool,
) -> Order:
    """`sequences`; where nothing depends on values, the same as before."""
    if lengths is None and live is None and reset is None:
        return _whole(lead, steps, reverse, by_row)
    return sequences(lead, steps, lengths, live, reverse, reset, by_row)


def _by_row(v: Table, lead: tuple[int, ...]) -> Table:
    """`(B, T, *lattice)` -> `(rows, T)`"""
    return np.moveaxis(v, 1, -1).reshape(math.prod(lead), -1)


def _in_time(v: Ints, lead: tuple[int, ...]) -> Ints:
    """`(rows, T)` -> `(B, T, *lattice)`"""
    return np.moveaxis(v.reshape(*lead, -1), -1, 1)


def _resets(places: Ints, reset: Flags, reverse: bool) -> Table:
    """`(T, rows)` in the order of work: 1 at a boundary before a step."""
    met = np.zeros(places.size, dtype=np.uint8)
    there = places >= 0
    met[places[there]] = reset[there]
    if reverse:  # the boundary before a step in time is met on the way from that step to the next one
        rows = len(places)
        met[rows:], met[:rows] = met[:-rows].copy(), 0
    return met
