"""One vector for a whole sequence, out of those of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from rekur.nn.calls import last_steps
from rekur.run.sizes import lengths_to_live

Pooling = Literal["last", "mean", "max"]


def pool(
    y: Tensor, how: Pooling, lengths: Tensor | Sequence[int] | None = None, *, bidirectional: bool = False
) -> Tensor:
    """What a stack puts out over a sequence as one vector, `(B, T, H)` to `(B, H)`; padding is not read.

    `last` is the output of the last real step, and of the second direction that of the first step, where it ends;
    `mean` and `max` are over the real steps. A row of length 0 gives zeros.

    >>> y = torch.tensor([[[1.0, 8.0], [3.0, 2.0], [9.0, 9.0]]])
    >>> [pool(y, how, lengths=[2]).tolist() for how in ("last", "mean", "max")]
    [[[3.0, 2.0]], [[2.0, 5.0]], [[3.0, 8.0]]]
    """
    rows, time = y.shape[:2]
    if lengths is None:
        lengths = torch.full((rows,), time, device=y.device)
    live = lengths_to_live(lengths, rows, time, y.device)  # (B, T)
    count = live.sum(1)
    if not time:
        return y.sum(1)
    if how == "last":
        out = last_steps(y, y.shape[2] // 2 if bidirectional else y.shape[2], lengths=lengths)
    elif how == "mean":
        out = torch.where(live[..., None], y, 0).sum(1) / count.clamp(min=1)[:, None]
    else:
        out = torch.where(live[..., None], y, -torch.inf).amax(1)
    return torch.where((count > 0)[:, None], out, 0)
