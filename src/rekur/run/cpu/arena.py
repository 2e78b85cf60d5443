"""Memory of a call: arrays that live equally long lie in one piece, each at a place that is known beforehand."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rekur.run.cpu.pages import pages

LINE = 16  # floats in a line of the cache
_FRESH = 4 << 20  # bytes from which on malloc gives memory back to the system, which then makes page after page anew


class Layout:
    """Where arrays lie in one piece of memory.

    :param sizes: array -> its floats.
    :param inside: array that is a part of another -> that one, and how many floats from its begin on.

    >>> layout = Layout({"a": 3, "b": 20}, {"tail of b": ("b", 4)})
    >>> layout.total, layout.find("tail of b")
    (48, 20)
    """

    def __init__(self, sizes: Mapping[str, int], inside: Mapping[str, tuple[str, int]]) -> None:
        self.sizes, self.inside = sizes, inside
        self.total = 0
        self._starts: dict[str, int] = {}
        for name, size in sizes.items():
            self._starts[name] = self.total
            self.total += -(-size // LINE) * LINE
        self.points: list[tuple[int, str, int]] = []
        self._fields = self._bytes = np.empty(0, dtype=np.int64)

    def __contains__(self, name: str) -> bool:
        return name in self._starts or (name in self.inside and self.inside[name][0] in self._starts)

    def find(self, name: str) -> int:
        """Floats from the begin of the memory to that of an array."""
        if name in self._starts:
            return self._starts[name]
        whole, shift = self.inside[name]
        return self._starts[whole] + shift

    def point(self, points: Sequence[tuple[int, str, int]]) -> None:
        """Which fields of the record point where: (field, array, floats from its begin on)."""
        self.points = [*self.points, *points]
        self._fields = np.array([field for field, _, _ in self.points], dtype=np.int64)
        self._bytes = np.array([4 * (self.find(name) + shift) for _, name, shift in self.points], dtype=np.int64)

    def enter(self, record: NDArray[np.int64], start: int) -> None:
        """Point at the arrays of memory that begins at an address."""
        record[self._fields] = self._bytes + start


class Arena:
    """The memory that a layout describes."""

    def __init__(self, layout: Layout, memory: Tensor) -> None:
        self.layout, self.memory = layout, memory

    def view(self, array: str, size: Sequence[int], stride: Sequence[int], shift: int = 0) -> Tensor:
        """An array in the shape given, from a place on."""
        return self.memory.as_strided(size, stride, self.layout.find(array) + shift)

    def enter(self, record: NDArray[np.int64]) -> None:
        """Point at its arrays."""
        self.layout.enter(record, self.memory.data_ptr())


def empty(size: int) -> Tensor:
    """Memory for so many floats. Much of it is huge pages, used again: making them can cost more than the work."""
    return pages.take(size)[0] if _large(size) else torch.empty(size, dtype=torch.float32, device="cpu")


def zeros(size: int) -> Tensor:
    """The same, holding zeros."""
    if not _large(size):
        return torch.zeros(size, dtype=torch.float32, device="cpu")
    memory, new = pages.take(size)
    return memory if new else memory.zero_()


def handed_out(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor with memory of its own, of floats as `like`, which spares torch to read options."""
    return empty(size).view(shape) if _large(size := math.prod(shape)) else like.new_empty(shape)


def _large(size: int) -> bool:
    return 4 * size >= _FRESH and hasattr(mmap, "MADV_HUGEPAGE")
