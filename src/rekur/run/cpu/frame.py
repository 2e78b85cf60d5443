"""Everything about the memory of a call that follows from sizes alone; made once for calls that are alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from rekur.run.cpu.arena import Layout
from rekur.run.cpu.memory import Code
from rekur.run.cpu.order import Order
from rekur.run.cpu.outer import WIDTH
from rekur.run.cpu.record import Laid
from rekur.run.cpu.shapes import Shapes, View
from rekur.run.cpu.target import Target

BARRIER = 16  # integers after the record, so that threads that wait do not disturb those who read it


class Frame(Shapes):
    """Shapes and places of arrays, and the record with all that is known before there is memory.

    Arrays of the way forth are `kept` for the way back, or not (`forth`); those of the way back must be zero before
    (`cleared`), or not (`back`); the gradients in `weights` come out as they lie.
    """

    def __init__(self, code: Code, target: Target, sizes: Mapping[str, int], order: Order, threads: int) -> None:
        super().__init__(code, target, sizes, order.batch, order.steps, order.chunk)
        self.order, self.threads = order, threads
        self.views = {a: self._view(a) for a in code.arrays}
        self.times = {
            a: self._over_time(a, *self.strided(p.axes) if p.axes else ((), ())) for a, p in code.arrays.items()
        }
        self.spread = {a: self._over_time(a, *self.strided(p.axes)) for a, p in code.arrays.items()}
        self._fill_record()
        self._lay_out()

    def _view(self, array: str) -> View:
        sizes, strides = self.strided(self.code.arrays[array].axes)
        rows, stride = self.shapes[array]
        return (rows, *sizes), (stride, *strides)

    def _over_time(self, array: str, sizes: tuple[int, ...], strides: tuple[int, ...]) -> View:
        """`(T, rows of the batch, *sizes)`"""
        rows, stride = self.shapes[array]
        batch = self.order.batch
        return (rows // batch, batch, *sizes), (batch * stride, stride, *strides)

    # ---- places

    def _lay_out(self) -> None:
        """Which array lies in which piece of memory, and where."""
        code, inside = self.code, self.inside(self.order.follows)
        whole = {a: inside[a][0] if a in inside else a for a in code.arrays}
        cleared = {whole[a] for a in code.cleared}
        back = {a for a in whole.values() if a.startswith(("d ", "handed "))}
        forth = {a: rows * stride for a, (rows, stride) in self.shapes.items() if whole[a] == a and a not in back}
        behind = {a: rows * stride for a, (rows, stride) in self.shapes.items() if whole[a] == a and a in back}
        work = {"local": self._local, "scratch": self._scratch}
        gradients = {s.array: self._gradient(s.axes, s.v is None) for s in code.shares}
        self.kept = self.layout_kept(self.order.follows)
        other = {a: n for a, n in forth.items() if a not in self.kept}
        self.forth = Layout(other | self._laid(code.forward) | work, inside)
        self.cleared = Layout({a: n for a, n in behind.items() if a in cleared} | gradients, inside)
        self.back = Layout(
            {a: n for a, n in behind.items() if a not in cleared} | self._laid(code.backward) | work, inside
        )
        self.lives = {
            a: int(whole[a] not in self.kept) if whole[a] in forth else 2 - (whole[a] in cleared) for a in whole
        }
        shapes = {f"d weight {s.weight}": tuple(self.sizes[a] for a in s.of) for s in code.shares}
        self.weights = Layout({a: math.prod(shape) for a, shape in shapes.items()}, {})
        self.views |= {a: (shape, _dense(shape)) for a, shape in shapes.items()}
        for layout in (self.weights, self.kept, self.forth, self.cleared, self.back):
            found = [(i, name, 0) for name, i in self._arrays if name in layout]
            layout.point(found + [(i, "local", at) for i, at in self._locals.items() if "local" in layout])

    def _laid(self, laid: Iterable[Laid]) -> dict[str, int]:
        """The room for weights as the steps read them."""
        out = {}
        for one in laid:
            if one.kind == "vector":
                out[one.array] = self.stride(one.axes)
            elif one.kind == "columns":
                out[one.array] = self.stride(one.axes[::-1])
            else:
                sizes = [self.sizes[a] for a in one.axes]
                outputs, inner = sizes if one.kind == "packed" else reversed(sizes)
                out[one.array] = -(-outputs // self.columns) * self.columns * inner
        return out

    def _gradient(self, axes: tuple[str, ...], vector: bool) -> int:
        """The room for the gradient in a weight."""
        return self.stride(axes) if vector else self.sizes[axes[0]] * self.pad(axes[1])

    # ---- the record

    def _fill_record(self) -> None:
        """The template of the record; what is left are addresses."""
        o, fields = self.order, self.code.record.fields
        local, self._locals = 0, {}
        for name, axes in self.code.record.locals.items():
            self._locals[fields[f"array {name}"]] = local
            local += self.stride(axes) * max(o.batch, o.segment_rows)
        self._local = local * self.threads
        scratch = o.chunk * o.batch * (8 + WIDTH) * self._inner_rows() + 64
        self._scratch = scratch * self.threads if "array scratch" in fields else 0
        pads = [self.pad(a) for a in self.sizes if f"pad {a}" in fields]
        self.zeros = torch.zeros(max(pads, default=1), dtype=torch.float32, device="cpu")
        fixed = {"zeros": self.zeros, **o.tables()}
        numbers = {
            "batch": o.batch, "steps": o.steps, "threads": self.threads, "local": local, "laid": 0,
            "divided": int(o.divided(self.threads)), "chunk": o.chunk, "chunks": o.chunks, "scratch": scratch,
        }  # fmt: skip
        self.record = np.zeros(len(fields) + 2 * BARRIER, dtype=np.int64)
        self._arrays: list[tuple[str, int]] = []
        for name, i in fields.items():
            kind, _, rest = name.partition(" ")
            if kind == "array" and rest in fixed:
                v = fixed[rest]
                assert v is None or v.is_contiguous(), rest
                self.record[i] = 0 if v is None else v.data_ptr()
            elif kind == "array" and i not in self._locals:
                self._arrays.append((rest, i))
            elif kind == "size":
                self.record[i] = self.sizes[rest]
            elif kind == "pad":
                self.record[i] = self.pad(rest)
            elif kind not in ("array", "stride"):
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


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of values that lie side by side."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
