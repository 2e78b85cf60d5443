"""Everything about the memory of a call that follows from sizes alone; made once for calls that are alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import itemgetter

import numpy as np
import torch

from rekur.run.cpu.arena import Layout
from rekur.run.cpu.gradients import products
from rekur.run.cpu.memory import Code
from rekur.run.cpu.moves import FIELDS, Move
from rekur.run.cpu.operands import Wiring
from rekur.run.cpu.order import TABLES, Form, Ints, Order
from rekur.run.cpu.outer import WIDTH
from rekur.run.cpu.record import Laid
from rekur.run.cpu.shapes import Shapes, View
from rekur.run.cpu.target import Target

BARRIER = 16  # integers after the record, so that threads that wait do not disturb those who read it


class Frame(Shapes):
    """Shapes and places of arrays, and the record with all that is known before there is memory.

    Arrays of the way forth are `kept` for the way back, or not (`forth`); those of the way back must be zero before
    (`cleared`), or not (`back`).
    """

    def __init__(
        self, code: Code, wiring: Wiring, target: Target, sizes: Mapping[str, int], form: Form, threads: int
    ) -> None:
        super().__init__(code, target, sizes, form.batch, form.steps, form.chunk)
        self.form, self.threads = form, threads
        self._fill_record()
        self._fill_moves(wiring)
        self._lay_out()
        self.results = [self._result(m) for m in wiring.moves["forward leaving"]]
        """The shapes of what comes out"""
        shapes = {f"d weight {s.weight}": tuple(self.sizes[a] for a in s.of) for s in code.shares}
        self.weights = {a: (code.record.fields[f"array {a}"], shape) for a, shape in shapes.items()}
        """Array of the gradient in a weight, which comes out as it lies -> its field, and its shape"""

    def view(self, array: str) -> View:
        """`(rows, *sizes)`"""
        sizes, strides = self.strided(self.code.arrays[array].axes)
        rows, stride = self.shapes[array]
        return (rows, *sizes), (stride, *strides)

    def over_time(self, array: str) -> View:
        """`(T, rows of the batch, *sizes)`, of a scalar one place"""
        axes = self.code.arrays[array].axes
        sizes, strides = self.strided(axes) if axes else ((), ())
        rows, stride = self.shapes[array]
        return (rows // self.batch, self.batch, *sizes), (self.batch * stride, stride, *strides)

    def lead(self, table: str) -> tuple[int, ...]:
        """The axes of the rows of a tensor that has its place by a table."""
        batch, *lattice = self.form.lead
        return (batch, self.steps, *lattice) if table == "places" else self.form.lead

    def _result(self, move: Move) -> tuple[int, ...]:
        return (*self.lead(move.table), *(self.sizes[a] for a in self.code.arrays[move.array].axes))

    def enter(self, record: Ints, address: int, order: Order) -> None:
        """What is known of a record at an address: the parts of itself that it points at, and tables."""
        record[self._own] = self._own_places + address
        record[self._tables] = self._addresses(order.addresses)

    # ---- places

    def _lay_out(self) -> None:
        """Which array lies in which piece of memory, and where."""
        code, inside = self.code, self.inside(self.form.follows)
        whole = {a: inside[a][0] if a in inside else a for a in code.arrays}
        cleared = {whole[a] for a in code.cleared}
        back = {a for a in whole.values() if a.startswith(("d ", "handed "))}
        forth = {a: rows * stride for a, (rows, stride) in self.shapes.items() if whole[a] == a and a not in back}
        behind = {a: rows * stride for a, (rows, stride) in self.shapes.items() if whole[a] == a and a in back}
        work = {"local": self._local}
        alone = products(code.shares)
        sums = {s.array: self.stride(s.axes) for s in code.shares if s.array not in alone}
        of_products = {
            s.array: self.stride(s.axes)
            for s in code.shares
            if s.array in alone and self.sizes[s.axes[-1]] % self.columns  # else it is added up where it comes out
        }
        symbols = {c.indices: 2 * self.batch * self.steps for c in code.columns.values()}
        self.kept = self.layout_kept(self.form.follows)
        other = {a: n for a, n in forth.items() if a not in self.kept}
        self.forth = Layout(other | symbols | self._laid(code.forward) | work, inside)
        self.cleared = Layout({a: n for a, n in behind.items() if a in cleared} | sums, inside)
        others = {a: n for a, n in behind.items() if a not in cleared} | of_products
        self.back = Layout(others | symbols | self._laid(code.backward) | work | {"scratch": self._scratch}, inside)
        self.lives = {
            a: int(whole[a] not in self.kept) if whole[a] in forth else 2 - (whole[a] in cleared) for a in whole
        }
        for layout in (self.kept, self.forth, self.cleared, self.back):
            found = [(i, name, shift) for name, i, shift in self._arrays if name in layout]
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

    # ---- the record

    def _fill_record(self) -> None:
        """The template of the record; what is left are addresses."""
        form, fields = self.form, self.code.record.fields
        local, self._locals = 0, {}
        for name, axes in self.code.record.locals.items():
            self._locals[fields[f"array {name}"]] = local
            local += self.stride(axes) * max(form.batch, form.segment_rows)
        self._local = local * self.threads
        scratch = form.chunk * form.batch * (8 + WIDTH) * self._inner_rows() + 64
        self._scratch = scratch * self.threads if "array scratch" in fields else 0
        pads = [self.pad(a) for a in self.sizes if f"pad {a}" in fields]
        self.zeros = torch.zeros(max(pads, default=1), dtype=torch.float32, device="cpu")
        numbers = {
            "batch": form.batch, "steps": form.steps, "threads": self.threads, "local": local, "laid": 0,
            "divided": int(form.divided(self.threads)), "chunk": form.chunk, "chunks": len(form.spans),
            "scratch": scratch,
        }  # fmt: skip
        self.record = np.zeros(len(fields), dtype=np.int64)
        for one in (*self.code.forward, *self.code.backward):
            if one.kind != "vector":
                self.record[fields[f"stride {one.weight}"]] = self.sizes[one.axes[1]]
        self._arrays: list[tuple[str, int, int]] = []
        for name, i in fields.items():
            kind, _, rest = name.partition(" ")
            if kind == "array" and i not in self._locals:
                self._arrays.append((rest, i, 0))
            elif kind == "size":
                self.record[i] = self.sizes[rest]
            elif kind == "pad":
                self.record[i] = self.pad(rest)
            elif name in numbers:
                self.record[i] = numbers[name]
        if "array zeros" in fields:
            self.record[fields["array zeros"]] = self.zeros.data_ptr()

    def _fill_moves(self, wiring: Wiring) -> None:
        """What follows the fields of the record: moves, and the barrier."""
        fields, rows, tables = self.code.record.fields, list[int](), list[tuple[int, str]]()
        self.moved: dict[str, list[tuple[int, int, int, int]]] = {}
        """Of each move: where it is in the record, the tensor, the axes of its rows, and floats of a value"""
        own = {}
        for way, moves in wiring.moves.items():
            if f"array {way}" not in fields:
                continue
            start = own[fields[f"array {way}"]] = len(fields) + len(rows)
            found = [m for m in moves if self.form.resets or not m.array.startswith("initial ")]
            self.record[fields[f"{way} count"]] = len(found)
            self.moved[way] = []
            for k, m in enumerate(found):
                at = start + k * len(FIELDS)
                move = self._move(m)
                rows += [move.get(name, 0) for name in FIELDS]
                lead = self.lead(m.table)
                unit = 1 if m.array in self.code.arrays else 2
                self.moved[way].append((at, m.tensor, len(lead) if len(self.form.lead) == 1 else 0, unit))
                shift = self.batch * move["stride"] if m.later else 0
                self._arrays.append((m.array, at + FIELDS.index("array"), shift))
                tables.append((at + FIELDS.index("table"), m.table))
        end = len(fields) + len(rows)
        if "array barrier" in fields:
            own[fields["array barrier"]] = end + BARRIER
        self.record = np.concatenate([self.record, np.array(rows, dtype=np.int64), np.zeros(2 * BARRIER, np.int64)])
        tables += [(i, name) for name, i, _ in self._arrays if name.startswith(TABLES)]
        self._own, self._own_places = (np.array([*v], dtype=np.int64) for v in (own.keys(), own.values()))
        self._own_places *= 8
        self._tables, self._addresses = np.array([i for i, _ in tables]), itemgetter(*(name for _, name in tables))

    def _move(self, move: Move) -> dict[str, int]:
        """The numbers of a move whose tensor is contiguous."""
        if move.array not in self.code.arrays:  # symbols: integers, as long as two floats
            lines, size, stride, pad, spread = 1, 2, 2, 0, 0
        elif axes := self.code.arrays[move.array].axes:
            *outer, size = (self.sizes[a] for a in axes)
            lines, stride, pad, spread = math.prod(outer), self.stride(axes), self.pad(axes[-1]), 0
        else:
            lines, size, stride, pad, spread = 1, 1, self.lanes, 0, 1
        groups, *inner = self.lead(move.table)
        row, count = lines * size, math.prod(inner)
        return {"groups": groups, "rows": count, "group": count * row, "row": row, "lines": lines, "size": size,
                "stride": stride, "pad": pad, "spread": spread}  # fmt: skip

    def _inner_rows(self) -> int:
        """The most rows that one row of the batch has in a gradient, as the positions of a memory."""
        counts = [1]
        for share in self.code.shares:
            count = 1
            for a in share.d.axes[:-1]:
                count *= self.sizes[a]
            counts.append(count)
        return max(counts)
