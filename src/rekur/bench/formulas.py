"""The cells that are raced, and each one's step as a user of torch or jax would write it: gates in one product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rekur.cells import cell, elman, gate, gru_after, lstm, sigmoid, tanh
from rekur.graph import Cell


class Functions(NamedTuple):
    """The few functions a step needs, of torch or of jax."""

    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    split: Callable[[Any, int], Any]
    """(values, n) -> n equal parts along the last axis"""


@dataclass(frozen=True)
class Formula:
    """A cell of ours, and the same by hand."""

    cell: Cell
    packed: Mapping[str, tuple[str, ...]]
    """Matrix or bias of the formula -> our weights, one under another"""
    step: Callable[..., Any]
    """(functions, px, w, *states) -> states; ``px = x @ w["x"].T + w["bias"]`` is made for all steps at once"""
    states: int = 1


@cell
def own(x: Any, h: Any) -> Any:
    """A cell of one's own, as a user may have written it five minutes ago: two gates."""
    z = gate("update", sigmoid, x, h, bias=-1.0)
    n = gate("candidate", tanh, x, h)
    return h + z * (n - h)


def _own(f: Functions, px: Any, w: Mapping[str, Any], h: Any) -> tuple[Any, ...]:
    z, n = f.split(px + h @ w["h"].T, 2)
    return (h + f.sigmoid(z) * (f.tanh(n) - h),)


def _lstm(f: Functions, px: Any, w: Mapping[str, Any], h: Any, c: Any) -> tuple[Any, ...]:
    i, o_f, g, o = f.split(px + h @ w["h"].T, 4)
    c = f.sigmoid(o_f) * c + f.sigmoid(i) * f.tanh(g)
    return f.sigmoid(o) * f.tanh(c), c


def _gru(f: Functions, px: Any, w: Mapping[str, Any], h: Any) -> tuple[Any, ...]:
    xr, xz, xn = f.split(px, 3)
    hr, hz, hn = f.split(h @ w["h"].T, 3)
    z = f.sigmoid(xz + hz)
    n = f.tanh(xn + f.sigmoid(xr + hr) * (hn + w["bias_h"]))
    return ((1 - z) * n + z * h,)


def _elman(f: Functions, px: Any, w: Mapping[str, Any], h: Any) -> tuple[Any, ...]:
    return (f.tanh(px + h @ w["h"].T),)


def gates(*names: str) -> dict[str, tuple[str, ...]]:
    """Gates under one another, each with a matrix for x, one for h and a bias."""
    return {part: tuple(f"{name}.{part}" for name in names) for part in ("x", "h", "bias")}


FORMULAS = {
    "lstm": Formula(lstm, gates("input", "forget", "candidate", "output"), _lstm, states=2),
    "gru": Formula(
        gru_after,
        {
            "x": ("reset.x", "update.x", "candidate_x.x"),
            "h": ("reset.h", "update.h", "candidate_h.h"),
            "bias": ("reset.bias", "update.bias", "candidate_x.bias"),
            "bias_h": ("candidate_h.bias",),
        },
        _gru,
    ),
    "elman": Formula(elman, gates("hidden"), _elman),
    "own": Formula(own, gates("update", "candidate"), _own),
}
"""By the names of `rekur bench`; the GRU is in torch's convention, with the reset after the product."""
