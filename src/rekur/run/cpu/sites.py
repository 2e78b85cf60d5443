"""The loop over time on a lattice: what the sites read is copied before a step, and gradients go back there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rekur.graph import Argument, Node
from rekur.graph.derive import gradient_name
from rekur.run.cpu.builder import Module
from rekur.run.cpu.driver import Driver
from rekur.run.cpu.record import Record


@dataclass(frozen=True, slots=True)
class Read:
    """What a step reads of a state: of the own site, or of one some places off."""

    state: str
    name: str
    """As its gradient is called: ``h``, or ``h.minus1``"""
    offset: int
    axes: tuple[str, ...]

    @classmethod
    def of(cls, node: Node) -> Read:
        """The read of a leaf."""
        leaf = node.leaf
        return cls(leaf.name, gradient_name(leaf).removeprefix("d."), leaf.offset, leaf.axes)


class Sites(Driver):
    """Rows of a step are the live sites, a thread's the sites of its images; tables say what each of them reads."""

    def __init__(self, module: Module, record: Record, name: str, columns: int, reads: Sequence[Read]) -> None:
        super().__init__(module, record, name, columns)
        self.reads = reads
        self.edges = self.array("edges")
        self.step = "1"

    def own_rows(self, t: str) -> str:
        """How many rows of step t are this thread's: those between two edges."""
        f = self.f
        at = f.add(f.mul(t, f.add(self.rows, "1")), self.row)
        self.first, end = (self.integer(self.edges, k) for k in (at, f.add(at, "1")))
        return f.let(f"sub i64 {end}, {self.first}")

    def begin_anew(self, t: str, count: str, states: Sequence[Argument]) -> None:
        """Copy what the step reads from the pools of the states."""

        def copy(read: Read, pool: str, row: str, m: str) -> None:
            before = self._row(self.array(f"before {read.name}"), m, read.axes)
            self.row_copy(self._row(pool, row, read.axes), before, read.axes)

        self._each_read(t, count, "state", copy)

    def hand_back(self, t: str, count: str, states: Sequence[Argument]) -> None:
        """Add the gradients in what the step has read to those in the pools; what lies outside has none."""
        f = self.f
        outside, sites = f.mul(self.batch, f.add(self.steps, "2")), self.array("sites")

        def add(read: Read, pool: str, row: str, m: str) -> None:
            def inside() -> None:
                found = self._row(self.array(f"d before {read.name}"), self.integer(sites, m), read.axes)
                self.row_copy(found, self._row(pool, row, read.axes), read.axes, add=True)

            f.when(f.let(f"icmp slt i64 {row}, {outside}"), inside)

        self._each_read(t, count, "d state", add)

    def _row(self, array: str, row: str, axes: tuple[str, ...]) -> str:
        return self.f.at(array, self.f.mul(row, self.stride(axes)))

    def _each_read(self, t: str, count: str, pools: str, body: Callable[[Read, str, str, str], None]) -> None:
        """body(read, pool, row of the pool, row of the arrays over time) for all reads of this thread's rows."""
        start = self.f.mul(t, self.batch)

        def one(read: Read) -> None:
            source, pool = self.array(f"source {read.offset}"), self.array(f"{pools} {read.state}")

            def row(b: str) -> None:
                m = self.f.add(start, b)
                body(read, pool, self.integer(source, m), m)

            self.each_row(count, row)

        def every() -> None:
            for read in self.reads:
                one(read)

        self.by_one(every)
