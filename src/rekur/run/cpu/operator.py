"""A job as an operator of autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rekur.run.cpu.job import Job, again


def run(job: Job, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The outputs of a job, with gradients where some are wanted."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        out: tuple[Tensor, ...] = _Operator.apply(job, *tensors)  # type: ignore[no-untyped-call]
        return out
    return job.forward(tensors)[0]


class _Operator(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: Job, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs, kept = job.forward(tensors)
        ctx.job = job
        ctx.save_for_backward(*tensors, kept)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        job: Job = ctx.job
        *tensors, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (None, *again(job.code, job.call, tensors, grads))
        return (None, *job.backward(tensors, kept, grads, ctx.needs_input_grad[1:]))
