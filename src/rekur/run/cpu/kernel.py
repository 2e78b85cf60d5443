"""A compiled cell, and one run of it: the arrays it works in and the record that points at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rekur.graph import Graph, parse
from rekur.run.cpu import program
from rekur.run.cpu.arena import Arena, empty, zeros
from rekur.run.cpu.builder import Module
from rekur.run.cpu.frame import BARRIER, Frame
from rekur.run.cpu.library import shared
from rekur.run.cpu.memory import Code
from rekur.run.cpu.operands import Operands, Source, Wiring
from rekur.run.cpu.order import Order
from rekur.run.cpu.parts import graphs, hoisted_kept, take_apart
from rekur.run.cpu.target import Target, host, library
from rekur.run.cpu.team import enter
from rekur.run.cpu.tile import Tile


@lru_cache(16)  # the kernels of one cell are asked for close together
def _parsed(text: str) -> Graph:
    return parse(text)


@cache
def compiled(text: str, extra: tuple[str, ...], needs: frozenset[str], training: bool) -> Compiled:
    """The code of a cell, made once for each graph and purpose."""
    return Compiled(_parsed(text), extra, needs, training, host())


FRAMES = 64
"""How many shapes of calls a cell remembers"""


class Compiled:
    """The code of one cell, for inference or for training with gradients in some of its inputs."""

    def __init__(
        self, graph: Graph, extra: tuple[str, ...], needs: frozenset[str], training: bool, target: Target
    ) -> None:
        tile = Tile.of(target)
        self.columns = tile.vectors * target.lanes
        self.target, self.needs, self.training = target, needs, training
        self.parts = take_apart(graph, extra)
        self.code = Code(Module(target.lanes), Module(target.lanes), columns=self.parts.columns)
        step, time, step_back, time_back = graphs(self.parts, needs, training)
        kept = hoisted_kept(step_back, time_back)
        program.forward(self.code, step, time, kept, self.parts.ragged, self.columns)
        self.constants_in_time = time is not None and bool(time.of("constant"))
        if step_back is not None:
            program.backward(self.code, self.parts, step_back, time_back, needs, self.columns)
        self.operands = Operands.of(graph, tuple(self.parts.outside))
        self.wiring = Wiring(self.code, self.operands)
        self.shared = shared(target)
        self.library = library(str(self.code.forth), target)
        self.forward = self.library.address("forward")
        if training:
            self.way_back = library(str(self.code.back), target)
            self.backward = self.way_back.address("backward")
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
    """The memory of one entry into the code, and the entry itself.

    :param arenas: the pieces of memory that the frame describes.
    """

    def __init__(self, frame: Frame, *arenas: Arena) -> None:
        self.frame, self.arenas = frame, arenas
        self.record: NDArray[np.int64] = frame.record.copy()
        self.address: int = self.record.ctypes.data
        for arena in arenas:
            arena.enter(self.record)
        fields = frame.code.record.fields
        if "array barrier" in fields:
            self.record[fields["array barrier"]] = self.address + 8 * (len(fields) + BARRIER)
        self._held: list[Tensor] = []

    @classmethod
    def forth(cls, frame: Frame) -> Run:
        """To run `forward`; the first arena is what the way back needs."""
        return cls(frame, *(Arena(layout, empty(layout.total)) for layout in (frame.kept, frame.forth)))

    @classmethod
    def back(cls, frame: Frame, kept: Tensor) -> Run:
        """To run `backward` on what `forward` has left."""
        cleared = zeros(frame.cleared.total)
        back, weights = (Arena(layout, empty(layout.total)) for layout in (frame.back, frame.weights))
        return cls(frame, Arena(frame.kept, kept), Arena(frame.cleared, cleared), back, weights)

    def view(self, array: str) -> Tensor:
        """An array as `(rows, *axes)`; a scalar has a place in every lane of a vector."""
        return self.arenas[self.frame.lives[array]].view(array, *self.frame.views[array])

    def after(self, array: str) -> Tensor:
        """A state after each step as `(T, B, *axes)`."""
        (_, *sizes), stride = self.frame.times[array]
        arena = self.arenas[self.frame.lives[array]]
        return arena.view(array, (self.frame.order.steps, *sizes), stride, stride[0])

    def over_time(self, array: str) -> Tensor:
        """An array as `(T, B, *axes)`, of a scalar one place."""
        return self.arenas[self.frame.lives[array]].view(array, *self.frame.times[array])

    def spread(self, array: str) -> Tensor:
        """An array as `(T, B, *axes)`, a scalar with all its places."""
        return self.arenas[self.frame.lives[array]].view(array, *self.frame.spread[array])

    def weights(self, tensors: Sequence[Tensor] | Mapping[int, Tensor], sources: Sequence[Source]) -> None:
        """Point at the weights that the code lays out."""
        for i, field, stride in sources:
            w = tensors[i]
            if not w.is_contiguous() and (stride is None or w.stride(1) != 1):
                w = w.detach().contiguous()
            self.point(field, w)
            if stride is not None:
                self.record[stride] = w.stride(0)

    def point(self, field: int, v: Tensor) -> None:
        """Have a field of the record point at a tensor, which then lives as long as this run."""
        self.record[field] = v.data_ptr()
        self._held.append(v)

    def move(self, array: str, memory: Tensor) -> None:
        """Have an array of the code, if it has that, begin where a tensor does."""
        field = self.frame.code.record.fields.get(f"array {array}")
        if field is not None:
            self.point(field, memory)

    def call(self, function: int) -> None:
        """Enter the code at an address, all threads together."""
        enter(self.frame.threads, function, self.address)


def put(view: Tensor, values: Tensor, rows: Tensor | slice = slice(None)) -> None:
    """Fill rows of an array; a scalar goes to every lane of a vector."""
    values = values if values.dim() == view.dim() else values[..., None]
    if isinstance(rows, slice):
        view.copy_(values)
    else:
        view[rows] = values
