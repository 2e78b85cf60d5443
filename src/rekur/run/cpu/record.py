"""The record that compiled code reads everything from: pointers and sizes, 8 bytes each, by name."""

from __future__ import annotations

from rekur.graph import Node


class Record:
    """Hands out a field a name, in the order asked for; the runtime fills them in before a call."""

    def __init__(self) -> None:
        self.fields: dict[str, int] = {}
        self.locals: dict[str, tuple[str, ...]] = {}
        """Array of a thread's own rows -> its axes"""

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

    def vector(self, weight: str) -> str:
        """The array of a weight that is used pointwise."""
        name = f"vector {weight}"
        self.array(name)
        return name

    def packed(self, matrix: Node) -> int:
        """The array of a packed matrix, or of its transpose."""
        if matrix.op == "transpose":
            return self.array(f"transposed {matrix.args[0].leaf.name}")
        return self.array(f"packed {matrix.leaf.name}")

    def local(self, name: str, axes: tuple[str, ...]) -> str:
        """An array with a row for each row that a thread works on."""
        self.locals[name] = axes
        self.array(name)
        return name
