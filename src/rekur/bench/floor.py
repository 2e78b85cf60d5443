"""The floor: the time that a layer's products and its weights' bytes need at the least on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from rekur.bench.point import Point
from rekur.graph import Graph, walk
from rekur.run.cpu.library import native
from rekur.run.cpu.target import host
from rekur.run.cpu.threads import together
from rekur.run.cpu.tile import Tile

_SIZES = (1 << 20, 4 << 20, 16 << 20, 64 << 20)  # bytes; below the first, a call costs more than the reading
_SECONDS = 0.1  # for each measurement


@dataclass(frozen=True)
class Floor:
    """What this machine can do, with at most as many threads as torch has now.

    >>> floor = Floor(product=1e11, reading={1 << 20: 1e10})
    >>> floor.seconds(Work(2e9, 5e7, 1e6)), floor.seconds(Work(2e6, 5e7, 2e6))
    (0.02, 0.005)
    """

    product: float
    """Floating-point operations a second in the fastest matrix product found"""
    reading: Mapping[int, float]
    """Size of an array in bytes -> bytes a second in reading it over and over"""

    def seconds(self, work: Work) -> float:
        """The longer of two: the products at the peak, and the weights at the speed they can be read with.

        Weights that are smaller than any array measured may stay closer than that: their reading counts nothing.
        """
        sizes = sorted(self.reading)
        arithmetic = work.operations / self.product
        if work.array < sizes[0]:
            return arithmetic
        fitting = next((size for size in sizes if size >= work.array), sizes[-1])
        return max(arithmetic, work.bytes / self.reading[fitting])


@dataclass(frozen=True)
class Work:
    """What a call must do at the least."""

    operations: float
    """Multiplications and additions in its products"""
    bytes: float
    """Of weights to be read: those of the input once, those of a state at every step, forward and backward"""
    array: float
    """Bytes of the weights that are read at every step"""


def work(graph: Graph, point: Point, fill: float = 1.0) -> Work:
    """The products of a cell: each once forward; for training, once for the weight and once for its operand.

    The operand's is left out where the operand is the input of a first layer, which needs no gradient. The
    pointwise part counts nothing.

    >>> from rekur.cells import lstm
    >>> work(lstm.graph, Point("share", "lstm", "training", 512, 64, 100)).operations / 1e9
    67.10...
    """
    training = point.mode == "training"
    rows = point.batch * point.time * fill
    operations, once, each = 0.0, 0.0, 0.0
    for node in walk(graph.outputs.values()):
        if node.op == "matvec":
            matrix, operand = node.args
            size = float(point.hidden ** len(matrix.axes))
            inner = any(n.op == "state" for n in walk([operand]))
            products = 3 if inner or point.part != "share" else 2
            operations += 2 * size * rows * (products if training else 1)
            once, each = (once, each + 4 * size) if inner else (once + 4 * size, each)
    return Work(operations, once + each * point.time * (2 if training else 1), each)


def measure_floor() -> Floor:
    """Measure both: products of a few sizes by torch and by rekur's own kernel, and reading by torch.

    Each on one thread too: on a busy machine that can be the faster way.
    """
    threads = torch.get_num_threads()
    products, readings = [0.0], dict.fromkeys(_SIZES, 0.0)
    try:
        for count in {1, threads}:
            torch.set_num_threads(count)
            products += [_torch_product(n) for n in (512, 1024, 2048)]
            products += [_own_product(k) for k in (512, 1024)]
            readings = {size: max(rate, _reading(size)) for size, rate in readings.items()}
    finally:
        torch.set_num_threads(threads)
    return Floor(max(products), readings)


def _torch_product(n: int) -> float:
    a, b, c = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    return 2 * n**3 / _least(lambda: torch.mm(a, b, out=c))


def _own_product(k: int) -> float:
    """The packed product of the compiled backend: `(512, k) · (k, 1024)` on every thread."""
    target = host()
    columns = Tile.of(target).vectors * target.lanes
    function = native("product")
    rows, threads, panels = 512, torch.get_num_threads(), 1024 // columns
    a, packed = torch.randn(threads, rows, k), torch.randn(panels, k, columns)
    start, c = torch.zeros(panels * columns), torch.empty(threads, rows, panels * columns)

    def one(thread: int) -> None:
        function(
            a[thread].data_ptr(), k, packed.data_ptr(), start.data_ptr(), 0, c[thread].data_ptr(), panels * columns,
            rows, k, 0, panels,
        )  # fmt: skip

    operations = 2 * threads * rows * k * panels * columns
    return operations / _least(lambda: together(threads, one))


def _reading(size: int) -> float:
    matrix = torch.ones(size // 4096, 1024)
    vector, out = torch.ones(1024), torch.empty(size // 4096)
    flat = matrix.view(-1)
    return size / min(_least(lambda: torch.mv(matrix, vector, out=out)), _least(flat.sum))


def _least(run: Callable[[], object]) -> float:
    """The shortest of many calls."""
    least, end = float("inf"), time.perf_counter() + _SECONDS
    while (start := time.perf_counter()) < end or least == float("inf"):
        run()
        least = min(least, time.perf_counter() - start)
    return least
