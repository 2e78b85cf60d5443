"""What chance can do: between blocks of text, between untrained networks, between a unit and a text that is not its.

Nothing here knows of networks: arrays in, thresholds out.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rekur.inspect.scores import Floats

_FLIPS = 2000
_RESAMPLES = 400
_EULER = 0.5772156649  # the mean of Gumbel's law
_AT_ONCE = 200  # resamples at a time, which bounds memory


def statistics(d: Floats) -> Floats:
    """Student's t of the mean over blocks, (…,), of (blocks, …) differences; 0 where they are all 0."""
    return t_of(d.sum(0), np.square(d).sum(0), len(d))


def t_of(total: NDArray[np.floating], squares: NDArray[np.floating], n: int) -> Floats:
    """The same, of the sums of n differences and of their squares."""
    spread = np.maximum(squares - total**2 / n, 0) * n / (n - 1)
    spread = np.sqrt(np.where(spread > 1e-12 * np.maximum(squares, 1e-300), spread, np.inf))
    return np.asarray(total / spread)


def critical(d: Floats, alpha: float, generator: np.random.Generator) -> float:
    """How large the largest t of all columns becomes by chance: its quantile at 1 − alpha.

    Where a difference is 0 but for chance, its sign in a block is as good as its opposite (as it is exactly where
    the difference is symmetric). So whole blocks have their sign flipped, of all columns at once, which keeps how
    columns hang together: the max-statistic of Westfall and Young, "Resampling-Based Multiple Testing", 1993.
    """
    n = len(d)
    flat = d.reshape(n, -1).astype(np.float32)
    squares = np.square(flat).sum(0)
    largest: list[float] = []
    for _ in range(_FLIPS // _AT_ONCE):
        signs = generator.choice(np.array([-1, 1], np.float32), (_AT_ONCE, n))
        largest += t_of(signs @ flat, squares, n).max(1).tolist()
    return float(np.quantile(largest, 1 - alpha))


def luck(r2: Floats, alpha: float) -> Floats:
    """By how much the best unit of one untrained network may beat the best of another, (P,), for units' R² (U, P).

    The units of both are draws from one distribution, whose upper tail is taken to fall off exponentially. Of the k
    best of a network, k = U / 20 or at least 5, let s be the mean excess over the next one, x. The largest of U other
    draws is above x + c s with a probability of k (1 + c / k)⁻ᵏ at most, with how little k draws say of s already in
    it. Where that is alpha / P, c = k ((k P / alpha)¹ᐟᵏ − 1). What x + c s is above this network's own best is luck.
    """
    top = max(5, len(r2) // 20)
    ordered = np.sort(r2, 0)[::-1]
    scale = (ordered[:top] - ordered[top]).mean(0)
    reach = top * ((top * r2.shape[1] / alpha) ** (1 / top) - 1)
    return np.asarray(np.maximum(0, ordered[top] + reach * scale - ordered[0]))


def bars(largest: Floats, alpha: float) -> Floats:
    """What the best unit reaches by chance for any property, (P,), of the best unit's R² (K, P) under K shifts.

    The largest of many follows Gumbel's law, which is fitted by mean and standard deviation; the bar of a property is
    its quantile at 1 − alpha / P, and no less than the largest of the K. (The share of larger shifts alone would need
    P / alpha of them to say as much.)
    """
    up = -math.log(-math.log1p(-alpha / largest.shape[1]))
    gumbel = largest.mean(0) + largest.std(0, ddof=1) * math.sqrt(6) / math.pi * (up - _EULER)
    return np.asarray(np.maximum(0, np.maximum(gumbel, largest.max(0))))


def resampled(blocks: int, generator: np.random.Generator) -> list[NDArray[np.float32]]:
    """How often each block is in a text made of as many blocks drawn with replacement, some texts at a time."""
    share = np.full(blocks, 1 / blocks)
    return [generator.multinomial(blocks, share, _AT_ONCE).astype(np.float32) for _ in range(_RESAMPLES // _AT_ONCE)]


def interval(value: float, drawn: Floats, level: float = 0.95) -> tuple[float, float]:
    """The bias-corrected percentile interval (Efron, "Nonparametric Standard Errors and Confidence Intervals", 1981).

    >>> low, high = interval(0.5, np.linspace(0, 1, 1001))
    >>> round(low, 3), round(high, 3)
    (0.025, 0.975)
    """
    normal = NormalDist()
    below = (np.sum(drawn < value) + 0.5 * np.sum(drawn == value)) / len(drawn)
    shift = normal.inv_cdf(min(max(float(below), 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    ends = [normal.cdf(2 * shift + normal.inv_cdf(q)) for q in ((1 - level) / 2, (1 + level) / 2)]
    low, high = np.quantile(drawn, ends)
    return min(float(low), value), max(float(high), value)
