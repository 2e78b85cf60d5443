"""The two sides of a race, and the check that both compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rekur.errors import RekurError

Named = Mapping[str, Tensor]


class Mismatch(RekurError):
    """Two sides that should compute the same do not: there is nothing to compare the speed of."""


class Side(NamedTuple):
    """Something to time, and what it computes."""

    run: Callable[[], Any]
    results: Callable[[], Named]
    """What a run computes, by the same names on both sides"""
    ready: Callable[[], AbstractContextManager[object]] = nullcontext
    """What must be open while it runs, but not while the other side does"""


def check(ours: Named, theirs: Named, tolerance: float) -> float:
    """How far apart the results are: the most over tensors of ``max |ours - theirs| / max |theirs|``.

    >>> check({"y": torch.tensor([1.0, 2.0])}, {"y": torch.tensor([1.0, 2.5])}, tolerance=0.3)
    0.2

    Raises Mismatch where that is more than `tolerance`, where names or shapes differ, and where a value is not
    finite or all of a tensor is zero, since zeros would agree with anything that is forgotten on both sides.
    """
    if ours.keys() != theirs.keys():
        raise Mismatch(f"ours has {', '.join(ours)}; the peer has {', '.join(theirs)}")
    most = 0.0
    for name, a in ours.items():
        b = theirs[name]
        if a.shape != b.shape:
            raise Mismatch(f"{name}: ours is {tuple(a.shape)}, the peer's {tuple(b.shape)}")
        a, b = a.detach().double(), b.detach().double()
        largest = b.abs().max().item()
        apart = (a - b).abs().max().item()
        if not 0 < largest < torch.inf or not apart <= tolerance * largest:
            raise Mismatch(
                f"{name} {tuple(a.shape)}: apart by {apart:.3g} where the peer's largest value is {largest:.3g}; "
                f"at most {tolerance:g} of it is allowed"
            )
        most = max(most, apart / largest)
    return most
