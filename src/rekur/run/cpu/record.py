"""The record that compiled code reads everything from: pointers and sizes, 8 bytes each, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rekur.graph import Leaf, Node

Kind = Literal["packed", "transposed", "vector", "columns"]


@dataclass(frozen=True, slots=True)
class Laid:
    """A weight as the steps read it: packed, its transpose packed, with padding, or its transpose with padding."""

    kind: Kind
    weight: str
    axes: tuple[str, ...]

    @property
    def array(self) -> str:
        """What the array is called."""
        return f"{self.kind} {self.weight}"


class Record:
    """Hands out a field a name, in the order asked for; the runtime fills them in before a call."""

    def __init__(self) -> None:
        self.fields: dict[str, int] = {}
        self.locals: dict[str, tuple[str, ...]] = {}
        """Array of a thread's own rows -> its axes"""
        self._laid: dict[str, Laid] = {}

    def name(self, name: str) -> int:
        """Any number: batch, steps, threads …"""
        return self.fields.setdefault(name, len(self.fields))

    def size(self, axis: str) -> int:
        """How long an axis is."""
        return self.name(f"size {axis}")

    def pad(self, axis: str) -> int:
        """Floats from one vector along the axis to the next."""
        return self.name(f"pad {axis}")

    def array(self, name: str) -> int:
        """Where an array begins."""
        return self.name(f"array {name}")

    def vector(self, leaf: Leaf) -> str:
        """The array of a weight that is used pointwise."""
        return self._lay("vector", leaf)

    def packed(self, matrix: Node) -> int:
        """The array of a packed matrix, or of its transpose."""
        if matrix.op == "transpose":
            return self.array(self._lay("transposed", matrix.args[0].leaf))
        return self.array(self._lay("packed", matrix.leaf))

    def columns(self, leaf: Leaf) -> str:
        """The array with a row for each column of a matrix."""
        return self._lay("columns", leaf)

    def _lay(self, kind: Kind, leaf: Leaf) -> str:
        one = Laid(kind, leaf.name, leaf.axes)
        self._laid[one.array] = one
        self.array(one.array)
        return one.array

    def take_laid(self) -> tuple[Laid, ...]:
        """The weights asked for since the last time."""
        taken = tuple(self._laid.values())
        self._laid = {}
        return taken

    def local(self, name: str, axes: tuple[str, ...]) -> str:
        """An array with a row for each row that a thread works on."""
        self.locals[name] = axes
        self.array(name)
        return name
