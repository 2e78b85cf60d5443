"""From columns to units: which are readable, and what share of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rekur.errors import OptionError
from rekur.inspect import trials
from rekur.inspect.scores import Floats

THRESHOLDS = (0.0, 0.1, 0.25, 0.5, 0.75)
"""R² from which on the share of readable units is given"""


@dataclass(frozen=True)
class Share:
    """So many of so many units, and the interval of the share in percent of texts."""

    least: float
    """R² that counted units have at least"""
    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.count / self.of


def ranked(r2: Floats, readable: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """See `Units.best`."""
    told = np.where(readable, r2, -np.inf)
    which = told.argmax(1)
    found = [(int(u), int(which[u])) for u in np.flatnonzero(readable.any(1))]
    return sorted(found, key=lambda pair: -float(told[pair]))


def owners(names: Sequence[str]) -> tuple[str, ...]:
    """The unit of each column: states of equal size in one layer are of the same units.

    >>> owners(["0.c.0", "0.c.1", "0.h.0", "0.h.1", "1.h.0"])
    ('0.0', '0.1', '0.0', '0.1', '1.0')
    """
    parts = [name.rsplit(".", 2) for name in names]
    for name, split in zip(names, parts, strict=True):
        if len(split) != 3:
            raise OptionError(f"{name!r} does not name a unit; it must be as '0.c.17': layer, state, place")
    sizes: dict[str, dict[str, int]] = {}
    for layer, state, _ in parts:
        states = sizes.setdefault(layer, {})
        states[state] = states.get(state, 0) + 1
    return tuple(
        f"{layer}.{place}" if len(set(sizes[layer].values())) == 1 else name
        for name, (layer, _, place) in zip(names, parts, strict=True)
    )


def shares_of(
    units: Sequence[str], readable: NDArray[np.bool_], r2: Floats, own: Floats, squares: Floats,
    differences: Sequence[Floats], limits: Sequence[float], chance: Floats, generator: np.random.Generator,
) -> tuple[Share, ...]:  # fmt: skip
    """The share of units with a readable column, from each threshold on, and the interval over texts."""
    kinds, owner = np.unique(np.array(units), return_inverse=True)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(kinds)))
    blocks, u, p = own.shape

    def counted(told: NDArray[np.floating]) -> NDArray[np.int64]:
        """(…, U, P) R², −∞ where not readable -> (…, thresholds) how many units."""
        by_unit = np.maximum.reduceat(told.max(-1)[..., order], starts, axis=-1)
        above = [(by_unit > -np.inf) & (by_unit >= least) for least in THRESHOLDS]
        return np.asarray(np.stack(above).sum(-1).T)

    found = counted(np.where(readable, r2, -np.inf))
    flat = [d.reshape(blocks, -1).astype(np.float32) for d in (*differences, own)]
    drawn = []
    for weights in trials.resampled(blocks, generator):
        told = 1 - (weights @ flat[2]).reshape(-1, u, p) / (weights @ squares.astype(np.float32))[:, None]
        passed = told > chance
        for d, limit in zip(flat[:2], limits, strict=True):
            t = trials.t_of(weights @ d, weights @ np.square(d), blocks)
            passed &= t.reshape(told.shape) > limit
        drawn.append(counted(np.where(passed, told, -np.inf)))
    each = np.concatenate(drawn) / len(kinds)
    return tuple(
        Share(least, int(count), len(kinds), *trials.interval(count / len(kinds), each[:, at]))
        for at, (least, count) in enumerate(zip(THRESHOLDS, found, strict=True))
    )
