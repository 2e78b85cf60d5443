"""Gradients of gradients for fast operators that have only one: the second time recomputes by the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]


def twice_differentiable(fast: Function, exact: Function, *tensors: Tensor) -> tuple[Tensor, ...]:
    """`fast(*tensors)`, whose backward is its own the first time, and that of `exact` afterwards.

    `exact` must compute the same by operations that can be differentiated any number of times. It is called
    only where gradients of gradients are wanted (`create_graph=True`) or a graph is gone through twice
    (`retain_graph=True`): what `fast` saved is let go after its first backward, as torch's own layers do.
    """
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return fast(*tensors)
    out: tuple[Tensor, ...] = _Twice.apply(fast, exact, *tensors)  # type: ignore[no-untyped-call]
    return out


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fast: Function, exact: Function, *tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            inner = [t.detach().requires_grad_(t.requires_grad) for t in tensors]
            outs = fast(*inner)
        ctx.exact, ctx.inner, ctx.outs = exact, inner, outs
        ctx.save_for_backward(*tensors)
        return tuple(o.detach() for o in outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        again = torch.is_grad_enabled()
        if again or ctx.outs is None:
            with torch.enable_grad():
                inner = list(tensors) if again else [t.detach().requires_grad_(t.requires_grad) for t in tensors]
                outs = ctx.exact(*inner)
        else:
            inner, outs = ctx.inner, ctx.outs
            ctx.inner = ctx.outs = None
        wanted = [t for t in inner if t.requires_grad]
        ends = [(o, g) for o, g in zip(outs, grads, strict=True) if o.requires_grad]
        found = iter(
            torch.autograd.grad(
                [o for o, _ in ends], wanted, [g for _, g in ends], create_graph=again, allow_unused=True
            )
        )
        return (None, None, *(next(found) if t.requires_grad else None for t in inner))
