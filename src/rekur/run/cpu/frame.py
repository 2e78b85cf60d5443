"""Everything about the memory of a call that follows from sizes alone; made once for calls that are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from rekur.run.cpu.memory import Code
from rekur.run.cpu.order import Order
from rekur.run.cpu.target import Target
from rekur.run.cpu.tile import Tile


class Frame:
    """Shapes of arrays, and the record with all that is known before there is memory."""

    def __init__(self, code: Code, target: Target, sizes: Mapping[str, int], order: Order, threads: int) -> None:
        self.code, self.sizes, self.order, self.threads = code, sizes, order, threads
        self.lanes = target.lanes
        self.columns = Tile.of(target).vectors * target.lanes
        self.shapes = {a: (self._rows(a), self.stride(place.axes)) for a, place in code.arrays.items()}
        self.views = {a: self._view(a) for a in code.arrays}
        self._fill_record()

    def pad(self, axis: str) -> int:
        """Floats from one vector along an axis to the next: whole panels, and an odd number of cache lines."""
        return (self.sizes[axis] + self.columns - 1) // self.columns * self.columns + 16

    def stride(self, axes: Sequence[str]) -> int:
        """Floats of one row; a scalar has a place in every lane of a vector."""
        if not axes:
            return self.lanes
        total = self.pad(axes[-1])
        for a in axes[:-1]:
            total *= self.sizes[a]
        return total

    def strided(self, axes: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(sizes, strides) of the values of one row."""
        if not axes:
            return (self.lanes,), (1,)
        strides = [1]
        for k, a in enumerate(reversed(axes[1:])):
            strides.append(self.pad(a) if k == 0 else strides[-1] * self.sizes[a])
        return tuple(self.sizes[a] for a in axes), tuple(reversed(strides))

    def _rows(self, array: str) -> int:
        o = self.order
        kind = self.code.arrays[array].rows
        if kind == "pool":  # what is handed in, after each step, and at a reset; and zeros
            return (o.steps + 2) * o.batch + 1
        steps = {"time": o.steps + 1 if array.startswith("state ") else o.steps, "chunk": o.chunk}
        return steps.get(kind, 1) * o.batch

    def _view(self, array: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        sizes, strides = self.strided(self.code.arrays[array].axes)
        rows, stride = self.shapes[array]
        return (rows, *sizes), (stride, *strides)

    def _fill_record(self) -> None:
        """The template of the record; what is left are the addresses of arrays, and of rows of each thread."""
        o, fields = self.order, self.code.record.fields
        local, self.locals = 0, {}
        for name, axes in self.code.record.locals.items():
            self.locals[fields[f"array {name}"]] = 4 * local
            local += self.stride(axes) * max(o.batch, o.segment_rows)
        self.local_size = local * self.threads
        scratch = o.chunk * o.batch * (8 + 4 * self.columns) * self._inner_rows() + 64
        self.scratch_size = scratch * self.threads if "array scratch" in fields else 0
        pads = [self.pad(a) for a in self.sizes if f"pad {a}" in fields]
        self.zeros = torch.zeros(max(pads, default=1))
        fixed = {"zeros": self.zeros, **o.tables()}
        numbers = {
            "batch": o.batch, "steps": o.steps, "threads": self.threads, "local": local, "laid": 0,
            "divided": int(o.divided(self.threads)), "chunk": o.chunk, "chunks": o.chunks, "scratch": scratch,
        }  # fmt: skip
        self.record = np.zeros(len(fields), dtype=np.int64)
        self.pointers: list[tuple[str, int]] = []
        self.strides: list[tuple[str, int]] = []
        for name, i in fields.items():
            kind, _, rest = name.partition(" ")
            if kind == "array" and rest in fixed:
                v = fixed[rest]
                assert v is None or v.is_contiguous(), rest
                self.record[i] = 0 if v is None else v.data_ptr()
            elif kind == "array" and i not in self.locals:
                self.pointers.append((rest, i))
            elif kind == "stride":
                self.strides.append((f"weight {rest}", i))
            elif kind == "size":
                self.record[i] = self.sizes[rest]
            elif kind == "pad":
                self.record[i] = self.pad(rest)
            elif kind != "array":
                self.record[i] = numbers[name]

    def _inner_rows(self) -> int:
        """The most rows that one row of the batch has in a gradient, as the positions of a memory."""
        counts = [1]
        for share in self.code.shares:
            count = 1
            for a in share.d.axes[:-1]:
                count *= self.sizes[a]
            counts.append(count)
        return max(counts)
