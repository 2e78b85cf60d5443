"""What a program becomes, and when a result may be written where something else lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rekur.graph import Node
from rekur.run.cpu.builder import Module
from rekur.run.cpu.columns import Column
from rekur.run.cpu.driver import Driver
from rekur.run.cpu.gradients import Share
from rekur.run.cpu.lower import Loop, Pass, Place, Product, RowKind
from rekur.run.cpu.record import Laid, Record
from rekur.run.cpu.sites import Read, Sites

Wanted = dict[Node, list[Place]]


@dataclass
class Code:
    """What a program becomes: the text for LLVM, and what its record and arrays hold.

    The way forth and the way back are modules of their own: whose gradients are wanted changes only the latter.
    """

    forth: Module
    back: Module
    record: Record = field(default_factory=Record)
    arrays: dict[str, Place] = field(default_factory=dict)
    """Every array over time, a chunk or the batch"""
    forward: tuple[Laid, ...] = ()
    """The weights that are laid out on the way forth"""
    backward: tuple[Laid, ...] = ()
    """The weights that are laid out on the way back"""
    shares: tuple[Share, ...] = ()
    kept: frozenset[str] = frozenset()
    """Arrays of the way forth that the way back reads"""
    cleared: set[str] = field(default_factory=set)
    """Arrays that hold zeros before the code runs"""
    reads: tuple[Read, ...] = ()
    """On a lattice whose sites read each other: what a step reads of its states"""
    columns: Mapping[str, Column] = field(default_factory=dict)
    """Input -> the product with symbols that it stands for"""
    inside: dict[str, str] = field(default_factory=dict)
    """Array of the batch -> the pool that it is a part of"""

    @property
    def fixed(self) -> RowKind:
        """How a row's place in an array over the batch is found."""
        return "site" if self.reads else "batch"

    def driver(self, module: Module, name: str, columns: int, reads: Sequence[Read]) -> Driver:
        """What a loop over time is written with."""
        if self.reads:
            return Sites(module, self.record, name, columns, reads)
        return Driver(module, self.record, name, columns)


def place(code: Code, array: str, rows: RowKind, axes: tuple[str, ...], shift: int = 0) -> Place:
    """The place of a value in an array, which is made if it is new; an old one stays where it is."""
    known = code.arrays.setdefault(array, Place(array, rows, axes))
    return Place(array, known.rows, axes, shift)


def reads(passes: Sequence[Pass], places: Mapping[Node, Place]) -> dict[str, int]:
    """Array -> the last pass that reads it."""
    last: dict[str, int] = {}
    for k, one in enumerate(passes):
        if isinstance(one, Loop):
            read = [a for i in one.items for a in i.args]
        elif isinstance(one, Product):
            read = [*(p.args[1] for p in one.products), *([one.initial] if one.initial is not None else [])]
        else:
            read = list(one.result.args)
        last |= {places[a].array: k for a in read if a in places}
    return last


def _safe(passes: Sequence[Pass]) -> dict[Node, int]:
    """Result -> the last pass that may read what lies where it is written; a loop reads each place first."""
    out: dict[Node, int] = {}
    for k, one in enumerate(passes):
        if isinstance(one, Loop):
            out |= {i.result: k for i in one.items}
        else:
            out[one.result] = k - 1
    return out


def late_stores(code: Code, passes: Sequence[Pass], places: Mapping[Node, Place], wanted: Wanted, name: str) -> None:
    """A result that goes where a leaf lies waits until the leaf has been read for the last time."""
    last, safe = reads(passes, places), _safe(passes)
    for node, targets in wanted.items():
        if node in safe and any(t.rows in ("batch", "site") and last.get(t.array, -1) > safe[node] for t in targets):
            local = Place(code.record.local(f"{name} late {len(code.record.locals)}", node.axes), "local", node.axes)
            targets.insert(0, local)
