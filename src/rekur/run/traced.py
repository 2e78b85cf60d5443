"""Whether a tracer looks on, so that tensors may hold no values, and what is done is put down to be done later."""

from __future__ import annotations

import torch
from torch import Tensor

PLAIN = (Tensor, torch.nn.Parameter)
"""What holds values itself"""


def traced(*tensors: Tensor) -> bool:
    """Whether torch's compiler, torch.export or a dispatch mode records operations, or a tensor stands for others."""
    return torch.compiler.is_dynamo_compiling() or torch._C._len_torch_dispatch_stack() > 0 or stand_in(*tensors)


def stand_in(*tensors: Tensor) -> bool:
    """Whether one of the tensors stands for others, so that it may hold no values itself."""
    for v in tensors:  # noqa: SIM110 - asked at every call, and a generator takes three times as long
        if type(v) not in PLAIN and torch._C._dispatch_keys(v).has(torch._C.DispatchKey.Python):
            return True
    return False


def check(holds: Tensor, message: str) -> None:
    """Put a check down, to be made when there are values; RuntimeError where one does not hold."""
    torch._assert_async(holds.all(), message)
