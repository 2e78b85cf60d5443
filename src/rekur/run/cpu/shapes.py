"""How large the arrays of a call are; from sizes alone, which may be symbols of a tracer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rekur.run.cpu.arena import Layout
from rekur.run.cpu.memory import Code
from rekur.run.cpu.target import Target
from rekur.run.cpu.tile import Tile

View = tuple[tuple[int, ...], tuple[int, ...]]
"""Sizes and strides"""


class Shapes:
    """Rows, paddings and strides.

    :param batch: rows of the batch, with those of a lattice.
    :param chunk: steps of the way back whose gradients are kept at a time.
    """

    def __init__(
        self, code: Code, target: Target, sizes: Mapping[str, int], batch: int, steps: int, chunk: int
    ) -> None:
        self.code, self.sizes = code, sizes
        self.batch, self.steps, self.chunk = batch, steps, chunk
        self.lanes = target.lanes
        self.columns = Tile.of(target).vectors * target.lanes
        self.shapes = {a: (self._rows(a), self.stride(place.axes)) for a, place in code.arrays.items()}

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

    def strided(self, axes: Sequence[str]) -> View:
        """The values of one row."""
        if not axes:
            return (self.lanes,), (1,)
        strides = [1]
        for k, a in enumerate(reversed(axes[1:])):
            strides.append(self.pad(a) if k == 0 else strides[-1] * self.sizes[a])
        return tuple(self.sizes[a] for a in axes), tuple(reversed(strides))

    def _rows(self, array: str) -> int:
        kind = self.code.arrays[array].rows
        if kind == "pool":  # what is handed in, after each step, and at a reset; and zeros
            return (self.steps + 2) * self.batch + 1
        steps = {"time": self.steps + 1 if array.startswith("state ") else self.steps, "chunk": self.chunk}
        return steps.get(kind, 1) * self.batch

    def inside(self, follows: bool) -> dict[str, tuple[str, int]]:
        """Array that is a part of another -> that one, and how many floats from its begin on.

        :param follows: whether what a step reads of a state is what the step before has left, always.
        """
        found = {a: (pool, self._before_zeros(pool, a)) for a, pool in self.code.inside.items()}
        if follows:
            before = [a for a in self.code.arrays if a.startswith("before ")]
            found |= {a: (f"state {a.removeprefix('before ')}", 0) for a in before}
        return found

    def _before_zeros(self, pool: str, array: str) -> int:
        """Where the rows of an array begin in a pool, whose last row is one of zeros."""
        rows, stride = self.shapes[pool]
        return (rows - 1 - self.shapes[array][0]) * stride

    def layout_kept(self, follows: bool) -> Layout:
        """The memory that the way forth leaves for the way back."""
        inside = self.inside(follows)
        kept = {inside[a][0] if a in inside else a for a in self.code.kept}
        return Layout({a: rows * stride for a, (rows, stride) in self.shapes.items() if a in kept}, inside)
