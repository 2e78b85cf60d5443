"""A compiled cell, and one run of it: the arrays it works in and the record that points at them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rekur.graph import Graph, parse
from rekur.run.cpu import program
from rekur.run.cpu.builder import Module
from rekur.run.cpu.frame import Frame
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


FRAMES = 64
"""How many shapes of calls a cell remembers"""


class Compiled:
    """The code of one cell, for inference or for training with gradients in some of its inputs."""

    def __init__(
        self, graph: Graph, extra: tuple[str, ...], needs: frozenset[str], training: bool, target: Target
    ) -> None:
        tile = Tile.of(target)
        self.columns = tile.vectors * target.lanes
        self.target, self.needs = target, needs
        self.parts = take_apart(graph, extra)
        self.code = Code(Module(target.lanes), columns=self.parts.columns)
        step, time, step_back, time_back = graphs(self.parts, needs, training)
        kept = hoisted_kept(step_back, time_back)
        program.forward(self.code, step, time, kept, self.parts.ragged, self.columns)
        self.constants_in_time = time is not None and bool(time.of("constant"))
        if step_back is not None:
            program.backward(self.code, self.parts, step_back, time_back, needs, self.columns)
        self.shared = shared(target)
        self.library = Library(str(self.code.module), target)
        entry = [ctypes.c_void_p, ctypes.c_int64]
        self.forward, self.serve = (self.library.function(k, entry) for k in ("forward", "serve"))
        if training:
            self.backward = self.library.function("backward", entry)
        self._frames: dict[tuple[object, ...], Frame] = {}

    def frame(self, sizes: Mapping[str, int], order: Order, threads: int) -> Frame:
        """The shapes of a call; the same for calls that are alike."""
        if not order.lasting:
            return Frame(self.code, self.target, sizes, order, threads)
        key = (*sizes.items(), order, threads)
        if key not in self._frames:
            if len(self._frames) >= FRAMES:
                self._frames.clear()
            self._frames[key] = Frame(self.code, self.target, sizes, order, threads)
        return self._frames[key]


class Run:
    """The arrays of one call, by name, and the call itself."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.arrays: dict[str, Tensor] = {}

    def make(self, array: str, clear: bool = False) -> Tensor:
        """Memory for an array; a view `(rows, *axes)` of it comes back."""
        shape, pool = self.frame.shapes[array], self.frame.code.inside.get(array)
        if pool is not None:
            self.arrays[array] = self.arrays[pool][-1 - shape[0] : -1]
        else:
            self.arrays[array] = torch.zeros(shape) if clear else torch.empty(shape)
            if self.frame.code.arrays[array].rows == "pool":
                self.arrays[array][-1] = 0.0
        return self.view(array)

    def view(self, array: str) -> Tensor:
        """An array as `(rows, *axes)`; a scalar has a place in every lane of a vector."""
        return self.arrays[array].as_strided(*self.frame.views[array])

    def over_time(self, array: str) -> Tensor:
        """An array as `(T, B, *axes)`."""
        (rows, *sizes), (stride, *strides) = self.frame.views[array]
        if not self.frame.code.arrays[array].axes:
            sizes, strides = [], []
        batch = self.frame.order.batch
        return self.arrays[array].as_strided((rows // batch, batch, *sizes), (batch * stride, stride, *strides))

    def fill(self, array: str, values: Tensor, clear: bool = False) -> None:
        """Make an array with the values given, `(rows, *axes)`."""
        self.put(self.make(array, clear), values)

    @staticmethod
    def put(view: Tensor, values: Tensor, rows: Tensor | slice = slice(None)) -> None:
        """Fill rows; a scalar goes to every lane of a vector."""
        view[rows] = values if values.dim() > 1 else values[:, None]

    def weights(self, weights: Mapping[str, Tensor], laid: Sequence[Laid]) -> None:
        """Point at the weights, and make room for them as the steps read them."""
        columns = self.frame.columns
        for one in laid:
            w = weights[one.weight].detach()
            if one.kind == "vector":
                w = w.contiguous()
                size = self.frame.stride(one.axes)
            elif one.kind == "columns":
                w = w.contiguous()
                size = self.frame.stride(one.axes[::-1])
            else:
                if w.stride(1) != 1:
                    w = w.contiguous()
                outputs, inner = w.shape if one.kind == "packed" else reversed(w.shape)
                size = -(-outputs // columns) * columns * inner
            self.arrays[f"weight {one.weight}"] = w
            self.arrays[one.array] = torch.empty(size)

    def gradient(self, share: Share) -> None:
        """Memory for the gradient in a weight."""
        f = self.frame
        shape = (1, f.stride(share.axes)) if share.v is None else (f.sizes[share.axes[0]], f.pad(share.axes[1]))
        self.arrays.setdefault(share.array, torch.zeros(shape))

    def weight_gradients(self, shares: Sequence[Share]) -> dict[str, Tensor]:
        """The gradient in each weight, of the weight's shape."""
        out: dict[str, Tensor] = {}
        for array, share in {s.array: s for s in shares}.items():
            g = self.arrays[array]
            g = g.as_strided(*self.frame.strided(share.axes)) if share.axes else g[0, 0]
            g = g.T if share.by else g
            out[share.weight] = out[share.weight] + g if share.weight in out else g
        return out

    def call(self, function: Callable[[int, int], None]) -> None:
        """Fill in the record and enter the code, all threads together."""
        address = self.record().ctypes.data
        together(self.frame.threads, lambda tid: function(address, tid))

    def record(self) -> NDArray[np.int64]:
        """The record with every address; the memory that it points at lives as long as this run."""
        f = self.frame
        record = f.record.copy()
        self.arrays["local"] = memory = torch.empty(f.local_size)
        self.arrays["barrier"] = torch.zeros(1, dtype=torch.int64)
        self.arrays["scratch"] = torch.empty(f.scratch_size)
        for name, i in f.pointers:
            if name in self.arrays:
                record[i] = self.arrays[name].data_ptr()
        for name, i in f.strides:
            if name in self.arrays and self.arrays[name].dim():
                record[i] = self.arrays[name].stride(0)
        start = memory.data_ptr()
        for i, offset in f.locals.items():
            record[i] = start + offset
        self._record = record
        return record
