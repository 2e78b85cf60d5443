"""Memory that ends where touching it ends the process: what reads or writes beyond it crashes.

For programs of their own, whose crash is a failed test with a message: `alone` runs one.
"""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def guarded(count: int, at_end: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """`count` elements, of NaN where there is one, that end (or begin) at a page that cannot be touched."""
    size = count * dtype.itemsize
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (start, start + (pages + 1) * PAGE):
        if _libc.mprotect(page, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    if not count:
        return torch.empty(0, dtype=dtype)
    offset = PAGE + (pages * PAGE - size if at_end else 0)
    out = torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)  # which keeps the pages
    return out.fill_(torch.nan if dtype.is_floating_point else 0)


def inside(values: Tensor, at_end: bool) -> Tensor:
    """A copy of values in such memory."""
    return guarded(values.numel(), at_end, values.dtype).copy_(values.flatten()).view(values.shape)


def alone(module: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a test module as a program; where it crashed, its error output says in which call."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-m", module, *args],
        cwd=root, capture_output=True, check=False, text=True, timeout=600,
    )  # fmt: skip
