"""Comparing named tensors: results and gradients of two ways to compute the same.

A comparison gives name -> what is wrong, so that a test says ``assert differ(got, want) == {}``, and a test of
the comparison says which names it must find. Every element is held to the tolerance, none to an average.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Named = Mapping[str, Tensor]

TIGHT = 1e-11
"""Of float64 after some steps: absolute, and relative to the element."""


def differ(got: Named, want: Named, within: float = TIGHT) -> dict[str, str]:
    """Where ``|got - want| <= within * (1 + |want|)`` does not hold for every element.

    Another name, shape or dtype is a difference; NaN is never equal. That `want` is finite is asserted.
    """
    out = _unlike(got, want)
    for name in want.keys() - out.keys():
        w = want[name].double()
        assert bool(w.isfinite().all()), f"{name}: what is wanted is not finite"
        out |= _beyond(name, (got[name].double() - w).abs(), within * (1 + w.abs()))
    return out


def worse(got: Named, rounded: Named, exact: Named, epsilon: float) -> dict[str, str]:
    """Where a float32 kernel errs more than four times as much as the float32 reference, plus epsilon.

    The reference's own error is the largest in its tensor, so luck in one element does not count:
    ``|got - exact| <= 4 * max |rounded - exact| + epsilon * (1 + |exact|)`` for every element.

    :param rounded: of the reference in float32.
    :param exact: of the reference in float64.
    """
    out = _unlike(got, rounded)
    assert _unlike({k: v.double() for k, v in rounded.items()}, exact) == {}, "the references are of two problems"
    for name in exact.keys() - out.keys():
        w = exact[name]
        own = (rounded[name].double() - w).abs()
        assert bool(own.isfinite().all()), f"{name}: the reference is not finite"
        own = own.amax() if own.numel() else own.sum()
        out |= _beyond(name, (got[name].double() - w).abs(), 4 * own + epsilon * (1 + w.abs()))
    return out


def _unlike(got: Named, want: Named) -> dict[str, str]:
    out = dict.fromkeys(got.keys() - want.keys(), "not wanted") | dict.fromkeys(want.keys() - got.keys(), "missing")
    for name in got.keys() & want.keys():
        a, b = got[name], want[name]
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            out[name] = f"is {a.dtype} {tuple(a.shape)}, not {b.dtype} {tuple(b.shape)}"
    return out


def _beyond(name: str, error: Tensor, bound: Tensor) -> dict[str, str]:
    wrong = ~(error <= bound)  # NaN is not below any bound
    if not bool(wrong.any()):
        return {}
    place = tuple(int(i) for i in wrong.nonzero()[0])
    return {name: f"{int(wrong.sum())} of {wrong.numel()} wrong, first by {error[place].item():.1e} at {place}"}


def silent(values: Named) -> set[str]:
    """The names of tensors that say nothing, since all of them is zero."""
    return {k for k, v in values.items() if not bool(v.any())}


def leaves(values: Named) -> dict[str, Tensor]:
    """Copies that gradients can be asked of."""
    return {k: v.detach().clone().requires_grad_(v.is_floating_point()) for k, v in values.items()}


def with_gradients(results: Named, cotangents: Named, of: Mapping[str, Named], retain: bool = False) -> Named:
    """The results, detached, and ``gradient of KIND NAME`` for every leaf in `of`; zero where there is none."""
    wanted = {f"gradient of {kind} {k}": v for kind, group in of.items() for k, v in group.items()}
    roots = {k: v for k, v in results.items() if v.requires_grad}
    found = torch.autograd.grad(
        list(roots.values()), list(wanted.values()), [cotangents[k] for k in roots],
        retain_graph=retain, allow_unused=True, materialize_grads=True,
    )  # fmt: skip
    return {k: v.detach() for k, v in results.items()} | dict(zip(wanted, found, strict=True))
