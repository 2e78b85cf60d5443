"""A linear map of what comes out of a stack, as the last stage of its single steps."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from rekur.run.cpu.builder import Module
from rekur.run.cpu.driver import ENTRY
from rekur.run.cpu.external import call_external
from rekur.run.cpu.library import native
from rekur.run.cpu.target import Library, host, library
from rekur.run.cpu.tile import Tile

_FIELDS = ("x", "ldx", "w", "bias", "y", "ldy", "rows", "k", "panels", "threads")


class Linear:
    """y = W x + b with packed W.

    :param weight: `(O, K)`, and `bias` `(O,)` or None, both of float32 on the CPU.
    :param x: the memory that it reads, `(B, K)`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, x: Tensor, threads: int) -> None:
        (outputs, k), target = weight.shape, host()
        columns = Tile.of(target).vectors * target.lanes
        panels = -(-outputs // columns)
        weight = weight.detach().contiguous()
        packed, padded = (
            torch.zeros(n, dtype=torch.float32, device="cpu") for n in (panels * columns * k, panels * columns)
        )
        native("pack")(weight.data_ptr(), k, outputs, k, packed.data_ptr(), 0, panels)
        if bias is not None:
            padded[:outputs] = bias.detach()
        y = torch.zeros(len(x), panels * columns, dtype=torch.float32, device="cpu")
        self.y = y[:, :outputs]
        """`(B, O)`"""
        self._held = x, packed, padded
        self._record = np.array(
            [x.data_ptr(), x.stride(0), packed.data_ptr(), padded.data_ptr(), y.data_ptr(), y.stride(0), len(x), k,
             panels, threads],
            dtype=np.int64,
        )  # fmt: skip
        self.function, self.address = _code().address("linear"), int(self._record.ctypes.data)


@cache
def _code() -> Library:
    """linear(record, tid): a thread's part of the panels"""
    target = host()
    module = Module(target.lanes)
    f = module.function("linear", ENTRY)
    pointers = ("x", "w", "bias", "y")
    x, ldx, w, bias, y, ldy, rows, k, panels, threads = (
        f.field("%ctx", i, "ptr" if name in pointers else "i64") for i, name in enumerate(_FIELDS)
    )
    p0, p1 = (f.let(f"udiv i64 {f.mul(panels, n)}, {threads}") for n in ("%tid", f.add("%tid", "1")))
    call_external(f, "product", x, ldx, w, bias, "0", y, ldy, rows, k, p0, p1)
    return library(str(module), target)
