"""Rows at work: where their values are, and the loops over their places. What every pass is written with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from rekur.errors import BackendError
from rekur.graph import Node
from rekur.run.cpu.builder import Module
from rekur.run.cpu.lower import Place
from rekur.run.cpu.math import COMBINE
from rekur.run.cpu.record import Record

BLOCK = [("ptr", "ctx")] + [("i64", k) for k in ("own", "m", "b", "sm", "sb", "count", "chunk", "unit", "units")]
"""The rows of a block: row r is row m + r·sm of the arrays over time and row b + r·sb of those over the batch;
arrays of a chunk begin with row `chunk` of those over time; `own` is the number of the block's own arrays.

Where few rows leave the other threads idle, several threads do the same rows: the vectors of an axis are divided
between them in whole panels, of which this is part `unit` of `units`."""


class Rows:
    """A function over some rows, with the sizes, strides and addresses that its passes need."""

    def __init__(self, module: Module, record: Record, name: str, places: Mapping[Node, Place], columns: int) -> None:
        self.record, self.name, self.columns = record, name, columns
        self.f = module.function(name, BLOCK)
        self.places = dict(places)
        self.sizes: dict[str, str] = {}
        self.pads: dict[str, str] = {}
        self.row_strides: dict[tuple[str, ...], str] = {}
        self.panels: dict[str, tuple[str, str]] = {}
        """Axis -> the panels that are this thread's"""
        self.span: dict[str, tuple[str, str]] = {}
        """Axis -> the places that are this thread's"""
        self._written: set[tuple[str, int]] = set()
        self._read: set[tuple[str, int]] = set()

    def load_sizes(self, places: Collection[Place], nodes: Collection[Node]) -> None:
        """Load all sizes and strides at the entry, where they hold for every pass."""
        f = self.f
        shapes = dict.fromkeys([*(p.axes for p in places), *(n.axes for n in nodes)])
        for axis in dict.fromkeys(a for axes in shapes for a in axes):
            self.sizes[axis] = f.field("%ctx", self.record.size(axis), "i64")
            self.pads[axis] = f.field("%ctx", self.record.pad(axis), "i64")
        for axes in shapes:
            self.row_strides[axes] = self.strides_of(axes)[0] if axes else str(f.module.lanes)
        f.module.declare("i64", "llvm.umin.i64", "i64", "i64")
        for axis, size in self.sizes.items():
            count = f.let(f"udiv i64 {f.add(size, str(self.columns - 1))}, {self.columns}")
            edges = [f.let(f"udiv i64 {f.mul(count, k)}, %units") for k in ("%unit", f.add("%unit", "1"))]
            self.panels[axis] = edges[0], edges[1]
            places_of = [f.mul(e, str(self.columns)) for e in edges]
            self.span[axis] = places_of[0], f.let(f"call i64 @llvm.umin.i64(i64 {places_of[1]}, i64 {size})")

    # ---- threads on the same rows

    def sync(self, whole: Collection[Place], writes: Collection[Place]) -> None:
        """Wait for the others before a pass that reads whole vectors of which they wrote parts, or the reverse."""
        reads = {(p.array, p.shift) for p in whole}
        written = {(p.array, p.shift) for p in writes}
        if reads & self._written or written & self._read:
            self.wait()
        self._read |= reads
        self._written |= written

    def wait(self) -> None:
        """Until all threads on these rows are here."""
        self.f.when(self.f.let("icmp sgt i64 %units, 1"), lambda: self.f.call("barrier", "ptr %ctx"))
        self._read, self._written = set(), set()

    def strides_of(self, axes: tuple[str, ...]) -> list[str]:
        """[stride of a row, stride of the first axis, …, 1]"""
        out = ["1"]
        for k, axis in enumerate(reversed(axes)):
            out.append(self.pads[axis] if k == 0 else self.f.mul(out[-1], self.sizes[axis]))
        return list(reversed(out))

    def base(self, place: Place) -> tuple[str, str]:
        """(address of the first row at work, floats from one row at work to the next); made where it is needed."""
        f = self.f
        start = f.field("%ctx", self.record.array(place.array), "ptr")
        stride = self.row_strides[place.axes]
        if place.rows == "shared":
            return start, "0"
        if place.rows == "local":
            own = f.mul("%own", f.field("%ctx", self.record.name("local"), "i64"))
            return f.at(start, own), stride
        if place.table:
            return start, stride
        if place.rows == "batch":
            return f.at(start, f.mul("%b", stride)), f.mul("%sb", stride)
        row = "%m"
        if place.shift:
            row = f.add(row, f.field("%ctx", self.record.name("batch"), "i64"))
        if place.rows == "chunk":
            row = f.let(f"sub i64 {row}, %chunk")
        return f.at(start, f.mul(row, stride)), f.mul("%sm", stride)

    def place(self, node: Node) -> Place:
        """Where a value is."""
        if node in self.places:
            return self.places[node]
        if node.op == "parameter" and not node.type.matrix:
            return Place(self.record.vector(node.leaf), "shared", node.axes)
        raise BackendError(f"{self.name}: no place for {node!r}")

    def count(self, axes: Sequence[str]) -> str:
        """How many places some axes have."""
        total = "1"
        for axis in axes:
            total = self.f.mul(total, self.sizes[axis])
        return total

    def each_row(self, places: Collection[Place], body: Callable[[dict[Place, str]], None]) -> None:
        """For each row at work, the addresses of its values."""
        f = self.f
        bases = {p: self.base(p) for p in dict.fromkeys(places)}
        tables = {p.table: f.field("%ctx", self.record.array(p.table), "ptr") for p in bases if p.table}

        def row(r: str) -> None:
            rows = {"": r}
            if tables:
                m = f.add("%m", f.mul(r, "%sm"))
                for name, table in tables.items():
                    rows[name] = f.let(f"load i64, ptr {f.let(f'getelementptr i64, ptr {table}, i64 {m}')}")
            body({p: f.at(start, f.mul(rows[p.table], step)) for p, (start, step) in bases.items()})

        f.loop("0", "%count", "1", row)

    def nest(self, axes: Sequence[str], body: Callable[[dict[str, str]], None]) -> None:
        """Loops over axes one by one."""
        index: dict[str, str] = {}

        def level(k: int) -> None:
            if k == len(axes):
                body(index)
                return

            def inner(i: str) -> None:
                index[axes[k]] = i
                level(k + 1)

            self.f.loop("0", self.sizes[axes[k]], "1", inner)

        level(0)

    def vectors(self, axes: tuple[str, ...], body: Callable[[dict[str, str]], None], whole: bool = False) -> None:
        """Loops over axes, the last in vectors: this thread's part, or all of it.

        Padding is worked on too, and holds nothing that is read.
        """

        def outer(index: dict[str, str]) -> None:
            if not axes:
                body(index)
                return
            span = ("0", self.sizes[axes[-1]]) if whole else self.span[axes[-1]]
            self.f.loop(*span, str(self.f.module.lanes), lambda i: body({**index, axes[-1]: i}))

        self.nest(axes[:-1], outer)

    def at(self, pointer: str, axes: tuple[str, ...], index: Mapping[str, str]) -> str:
        """The address of one place of a row."""
        offset = "0"
        for axis, stride in zip(axes, self.strides_of(axes)[1:], strict=True):
            offset = self.f.add(offset, self.f.mul(index[axis], stride))
        return self.f.at(pointer, offset)

    def load(self, pointer: str, axes: tuple[str, ...], along: str | None, index: Mapping[str, str]) -> str:
        """The value at an index, as a vector along an axis."""
        f = self.f
        if not axes or axes[-1] == along:
            return f.load(self.at(pointer, axes, index))  # a scalar is stored in every lane of a vector
        if along not in axes:
            return f.splat(f.load_scalar(self.at(pointer, axes, index)))
        value = "poison"
        last = f.let(f"sub i64 {self.sizes[along]}, 1")
        for lane in range(f.module.lanes):  # along another axis than the one it is stored by
            i = f.let(f"call i64 @llvm.smin.i64(i64 {f.add(index[along], str(lane))}, i64 {last})")
            x = f.load_scalar(self.at(pointer, axes, {**index, along: i}))
            value = f.let(f"insertelement {f.V} {value}, float {x}, i32 {lane}")
        f.module.declare("i64", "llvm.smin.i64", "i64", "i64")
        return value

    def within(self, v: str, i: str, axis: str, outside: str) -> str:
        """`v` with the lanes beyond the axis replaced."""
        f, lanes = self.f, self.f.module.lanes
        left = f.let(f"trunc i64 {f.let(f'sub i64 {self.sizes[axis]}, {i}')} to i32")
        one = f.let(f"insertelement <{lanes} x i32> poison, i32 {left}, i32 0")
        many = f.let(f"shufflevector <{lanes} x i32> {one}, <{lanes} x i32> poison, <{lanes} x i32> zeroinitializer")
        lane = "<" + ", ".join(f"i32 {k}" for k in range(lanes)) + ">"
        test = f.let(f"icmp slt <{lanes} x i32> {lane}, {many}")
        return f.let(f"select <{lanes} x i1> {test}, {f.V} {v}, {f.V} {outside}")

    def across(self, op: str, v: str) -> str:
        """The lanes of a vector combined by halves."""
        f, lanes = self.f, self.f.module.lanes
        width = lanes
        while width > 1:
            width //= 2
            mask = ", ".join(f"i32 {k + width if k < width else k}" for k in range(lanes))
            upper = f.let(f"shufflevector {f.V} {v}, {f.V} poison, <{lanes} x i32> <{mask}>")
            v = COMBINE[op](f, v, upper)
        return f.let(f"extractelement {f.V} {v}, i32 0")
