"""A compiled cell, and one run of it: the arrays it works in and the record that points at them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from rekur.graph import Graph, parse
from rekur.run.cpu import program
from rekur.run.cpu.builder import Module
from rekur.run.cpu.gradients import Share
from rekur.run.cpu.library import shared
from rekur.run.cpu.memory import Code
from rekur.run.cpu.order import Order
from rekur.run.cpu.parts import graphs, hoisted_kept, take_apart
from rekur.run.cpu.record import Laid
from rekur.run.cpu.target import Library, Target, host
from rekur.run.cpu.threads import together
from rekur.run.cpu.tile import Tile


@cache
def compiled(text: str, extra: tuple[str, ...], needs: frozenset[str], training: bool) -> Compiled:
    """The code of a cell, made once for each graph and purpose."""
    return Compiled(parse(text), extra, needs, training, host())


class Compiled:
    """The code of one cell, for inference or for training with gradients in some of its inputs."""

    def __init__(
        self, graph: Graph, extra: tuple[str, ...], needs: frozenset[str], training: bool, target: Target
    ) -> None:
        tile = Tile.of(target)
        self.columns = tile.vectors * target.lanes
        self.target, self.needs = target, needs
        self.parts = take_apart(graph, extra)
        self.code = Code(Module(target.lanes))
        step, time, step_back, time_back = graphs(self.parts, needs, training)
        kept = hoisted_kept(step_back, time_back)
        program.forward(self.code, step, time, kept, self.columns)
        self.constants_in_time = time is not None and bool(time.of("constant"))
        if step_back is not None:
            program.backward(self.code, self.parts, step_back, time_back, needs, self.columns)
        self.shared = shared(target)
        self.library = Library(str(self.code.module), target)
        entry = [ctypes.c_void_p, ctypes.c_int64]
        self.forward = self.library.function("forward", entry)
        if training:
            self.backward = self.library.function("backward", entry)


SHARED_ROWS = 16
"""Fewer rows than this are done by all threads together"""


class Run:
    """The arrays of one call, by name, and what is filled into the record."""

    def __init__(self, code: Compiled, sizes: Mapping[str, int], order: Order, threads: int) -> None:
        self.code, self.sizes, self.order, self.threads = code, sizes, order, threads
        self.arrays: dict[str, Tensor] = {}

    # ---- memory

    def pad(self, axis: str) -> int:
        """Floats from one vector along an axis to the next: whole panels, and an odd number of cache lines."""
        c = self.code.columns
        return (self.sizes[axis] + c - 1) // c * c + 16

    def stride(self, axes: Sequence[str]) -> int:
        """Floats of one row."""
        if not axes:
            return self.code.target.lanes
        total = self.pad(axes[-1])
        for a in axes[:-1]:
            total *= self.sizes[a]
        return total

    def rows(self, array: str) -> int:
        """How many rows an array has."""
        place = self.code.code.arrays[array]
        o = self.order
        steps = {"time": o.steps + 1 if array.startswith("state ") else o.steps, "chunk": o.chunk, "batch": 1}
        return steps[place.rows] * o.batch

    def make(self, array: str, clear: bool = False) -> Tensor:
        """Memory for an array; a view `(rows, *axes)` of it comes back."""
        shape = self.rows(array), self.stride(self.code.code.arrays[array].axes)
        self.arrays[array] = torch.zeros(shape) if clear else torch.empty(shape)
        return self.view(array)

    def view(self, array: str) -> Tensor:
        """An array as `(rows, *axes)`; a scalar has a place in every lane of a vector."""
        axes = self.code.code.arrays[array].axes
        memory = self.arrays[array]
        if not axes:
            return memory
        shape = [*(self.sizes[a] for a in axes[:-1]), self.pad(axes[-1])]
        return memory.view(memory.shape[0], *shape)[..., : self.sizes[axes[-1]]]

    def fill(self, array: str, values: Tensor, clear: bool = False) -> None:
        """Make an array with the values given, `(rows, *axes)`."""
        self.put(self.make(array, clear), values)

    @staticmethod
    def put(view: Tensor, values: Tensor) -> None:
        """Fill rows; a scalar goes to every lane of a vector."""
        view.copy_(values if values.dim() > 1 else values[:, None])

    def weights(self, weights: Mapping[str, Tensor], laid: Sequence[Laid]) -> None:
        """Point at the weights, and make room for them as the steps read them."""
        for one in laid:
            w = weights[one.weight].detach()
            if one.kind == "vector" or w.stride(1) != 1:
                w = w.contiguous()
            self.arrays[f"weight {one.weight}"] = w
            if one.kind == "vector":
                size = self.stride(one.axes)
            else:
                outputs, inner = w.shape if one.kind == "packed" else reversed(w.shape)
                size = -(-outputs // self.code.columns) * self.code.columns * inner
            self.arrays[one.array] = torch.empty(size)

    def weight_gradient(self, share: Share) -> Tensor:
        """The gradient in a weight, of the weight's shape."""
        g = self.arrays[f"gradient {share.weight}"]
        if share.v is not None:
            return g[:, : self.sizes[share.axes[1]]]
        if not share.axes:
            return g[0, 0]
        shape = [*(self.sizes[a] for a in share.axes[:-1]), self.pad(share.axes[-1])]
        return g.view(shape)[..., : self.sizes[share.axes[-1]]]

    # ---- calling

    def call(self, function: Callable[[int, int], None]) -> None:
        """Fill in the record and enter the code, all threads together."""
        record = self.code.code.record
        o = self.order
        local, offsets = 0, {}
        most = max(o.batch, o.segment_rows)
        for name, axes in record.locals.items():
            offsets[name] = local
            local += self.stride(axes) * most
        scratch = o.chunk * o.batch * (8 + 4 * self.code.columns) * self._inner_rows() + 64
        pads = [self.pad(a) for a in self.sizes if f"pad {a}" in record.fields]
        pointers = {
            "zeros": torch.zeros(max(pads, default=0)),
            "barrier": torch.zeros(8, dtype=torch.int64),
            "scratch": torch.empty(scratch * self.threads if "array scratch" in record.fields else 0),
            "active": o.active, "reset": o.reset, "chunk segments": o.chunk_segments, **o.segments, **self.arrays,
        }  # fmt: skip
        numbers = {
            "batch": o.batch, "steps": o.steps, "threads": self.threads, "divided": int(self.divided), "local": local,
            "chunk": o.chunk, "chunks": o.chunks, "scratch": scratch,
        }  # fmt: skip
        memory = torch.empty(local * self.threads)
        values = torch.zeros(len(record.fields), dtype=torch.int64)
        filled = values.numpy()
        for name, i in record.fields.items():
            kind, _, rest = name.partition(" ")
            if kind == "array" and rest in offsets:
                filled[i] = memory.data_ptr() + 4 * offsets[rest]
            elif kind == "array":
                v = pointers.get(rest)
                filled[i] = 0 if v is None else v.data_ptr()
            elif kind == "stride":
                filled[i] = self.arrays[f"weight {rest}"].stride(0) if f"weight {rest}" in self.arrays else 0
            elif kind in ("size", "pad"):
                filled[i] = self.sizes[rest] if kind == "size" else self.pad(rest)
            else:
                filled[i] = numbers[name]
        address = values.data_ptr()
        together(self.threads, lambda tid: function(address, tid))

    @property
    def divided(self) -> bool:
        """Whether threads share every row rather than have rows of their own: where rows are few."""
        return self.threads > 1 and self.order.batch < SHARED_ROWS

    def _inner_rows(self) -> int:
        """The most rows that one row of the batch has in a gradient, as the positions of a memory."""
        most = 1
        for share in self.code.code.shares:
            count = 1
            for a in share.d.axes[:-1]:
                count *= self.sizes[a]
            most = max(most, count)
        return most
