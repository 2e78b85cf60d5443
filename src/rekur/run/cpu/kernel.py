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
from rekur.run.cpu.frame import Frame
from rekur.run.cpu.library import shared
from rekur.run.cpu.memory import Code
from rekur.run.cpu.moves import FIELDS
from rekur.run.cpu.operands import Operands, Source, Wiring
from rekur.run.cpu.order import Form, Order
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
        self.forward, self.loop = (self.library.address(k) for k in ("call", "forward"))
        if training:
            self.way_back = library(str(self.code.back), target)
            self.backward = self.way_back.address("call")
        self._frames: dict[tuple[object, ...], Frame] = {}

    def frame(self, sizes: Mapping[str, int], form: Form, threads: int) -> Frame:
        """The shapes of a call; the same for calls that are alike."""
        key = (*sizes.items(), form, threads)
        if key not in self._frames:
            if len(self._frames) >= FRAMES:
                self._frames.clear()
            self._frames[key] = Frame(self.code, self.wiring, self.target, sizes, form, threads)
        return self._frames[key]


class Run:
    """The memory of one entry into the code, and the entry itself.

    :param arenas: the pieces of memory that the frame describes.
    """

    def __init__(self, frame: Frame, order: Order, *arenas: Arena) -> None:
        self.frame, self.arenas = frame, arenas
        self.record: NDArray[np.int64] = frame.record.copy()
        self.address: int = self.record.__array_interface__["data"][0]
        frame.enter(self.record, self.address, order)
        for arena in arenas:
            arena.enter(self.record)
        self._held: list[Tensor] = []

    @classmethod
    def forth(cls, frame: Frame, order: Order) -> Run:
        """To run `forward`; the first arena is what the way back needs."""
        return cls(frame, order, *(Arena(layout, empty(layout.total)) for layout in (frame.kept, frame.forth)))

    @classmethod
    def back(cls, frame: Frame, order: Order, kept: Tensor) -> Run:
        """To run `backward` on what `forward` has left."""
        cleared = Arena(frame.cleared, zeros(frame.cleared.total))
        return cls(frame, order, Arena(frame.kept, kept), cleared, Arena(frame.back, empty(frame.back.total)))

    def view(self, array: str) -> Tensor:
        """An array as `(rows, *axes)`; a scalar has a place in every lane of a vector."""
        return self.arenas[self.frame.lives[array]].view(array, *self.frame.view(array))

    def over_time(self, array: str) -> Tensor:
        """An array as `(T, B, *axes)`, of a scalar one place."""
        return self.arenas[self.frame.lives[array]].view(array, *self.frame.over_time(array))

    def weights(self, tensors: Sequence[Tensor] | Mapping[int, Tensor], sources: Sequence[Source]) -> None:
        """Point at the weights that the code lays out."""
        found = []
        for i, _, stride in sources:
            w = tensors[i]
            if not w.is_contiguous():
                if stride is not None and w.stride(1) == 1:
                    self.record[stride] = w.stride(0)
                else:
                    w = w.detach().contiguous()
            found.append(w)
        self.point([field for _, field, _ in sources], found)

    def move(self, way: str, tensors: Sequence[Tensor | None]) -> None:
        """Have moves begin, or end, at tensors."""
        fields, found = [], []
        for field, i, lead, unit in self.frame.moved[way]:
            v = tensors[i]
            if v is not None:
                fields.append(field)
                found.append(v if v.is_contiguous() else self._strided(v, field, lead, unit))
        self.point(fields, found)

    def _strided(self, v: Tensor, field: int, lead: int, unit: int) -> Tensor:
        """`v`, the rows of which may lie apart; a copy where their values do, or where there are more axes of rows.

        :param lead: the axes of rows, 0 where there are more than a move knows.
        """
        v = v.resolve_neg()
        if not lead or not v[(0,) * lead].is_contiguous():
            return v.contiguous()
        for name, stride in zip(("group", "row"), v.stride()[:lead], strict=False):
            self.record[field + FIELDS.index(name)] = unit * stride
        return v

    def point(self, fields: Sequence[int], tensors: Sequence[Tensor]) -> None:
        """Have fields of the record point at tensors, which then live as long as this run."""
        self.record[fields] = [v.data_ptr() for v in tensors]
        self._held += tensors

    def begin(self, array: str, memory: Tensor) -> None:
        """Have an array of the code, if it has that, begin where a tensor does."""
        field = self.frame.code.record.fields.get(f"array {array}")
        if field is not None:
            self.point([field], [memory])

    def call(self, function: int) -> None:
        """Enter the code at an address, all threads together."""
        enter(self.frame.threads, function, self.address)
