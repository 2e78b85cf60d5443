"""How well one thing tells another, on text that the telling was not fitted on: sums by block, for every predictor.

All predictors are scored alike. The text is cut into blocks of equal length; what is fitted on the blocks of one half
predicts those of the other, and the other way round, so that all of the text is held out once. The loss of a block
is its sum of squared errors, and

    R² = 1 − Σ loss / Σ (y − ȳ)²

with ȳ the mean over all of the text: 1 where a property is told exactly, 0 where its mean would do as well, below 0
where the mean would do better. For 0 and 1 that is the Brier score, scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rekur.errors import DataError

BINS = 32
"""Values of a unit that are told apart"""
ORDERS = 5
"""The most characters that a table looks at"""
LEAST = 10_000
"""Characters that a text must have: with fewer, there are too few blocks to say anything"""

_BLOCK = 500  # characters of a block at least
_BLOCKS = 50  # at most
_PRIOR = 2.0  # a bin or a context counts for as much as so many characters of the shorter context

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Target:
    """Properties on a text cut into blocks: `y` (P, N), centred and scaled; N is cut to whole blocks."""

    y: Floats
    blocks: int
    block: NDArray[np.int64]
    """The block of each character, (N,)"""
    squares: Floats
    """Σ y² by block, (blocks, P): what the losses are shares of"""

    @classmethod
    def of(cls, y: NDArray[np.float32]) -> Target:
        """Of (P, N) values, none of them constant on whole blocks."""
        length, blocks = whole_blocks(y.shape[1])
        whole = y[:, :length].astype(np.float64)
        whole -= whole.mean(1, keepdims=True)
        scale = whole.std(1, keepdims=True)
        whole /= np.where(scale > 0, scale, 1)
        squares = np.square(whole).reshape(len(whole), blocks, -1).sum(2).T
        return cls(whole, blocks, np.arange(length) // (length // blocks), squares)


def whole_blocks(characters: int) -> tuple[int, int]:
    """How much of a text is used, and in how many blocks, an even number; DataError where it is too short."""
    if characters < LEAST:
        raise DataError(
            f"the text has {characters:,} characters: to tell what units follow takes at least {LEAST:,}, so that "
            "what is found can be held against text that it was not found on; give a longer text"
        )
    blocks = min(_BLOCKS, characters // _BLOCK) // 2 * 2
    return characters // blocks * blocks, blocks


def bins(column: NDArray[np.float16], count: int = BINS) -> Codes:
    """A column's values by rank, in so many bins as full as each other as ties let them be; no label is looked at.

    >>> bins(np.array([0.5, -1, 3, 2], np.float16), 2).tolist()
    [0, 0, 1, 1]
    """
    bits = column.view(np.uint16)
    order = np.where(bits >> 15, ~bits, bits | 0x8000)  # float16's bits, in the order of the numbers
    counts = np.bincount(order, minlength=1 << 16)
    middle = np.cumsum(counts) - counts / 2
    table = np.minimum(middle * count / len(column), count - 1).astype(np.uint8)
    return table[order]


def losses(codes: Codes, target: Target) -> Floats:
    """The loss of each block, (blocks, P), where the mean of a character's bin, `codes` (N,), predicts it."""
    n, half = target.blocks, target.blocks // 2
    where = target.block * BINS + codes
    count = np.bincount(where, minlength=n * BINS).reshape(n, BINS)
    total = np.stack([np.bincount(where, y, n * BINS).reshape(n, BINS) for y in target.y])  # (P, n, BINS)
    out = target.squares.T.copy()
    for fit, held in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        means = _means(total[:, fit].sum(1), count[fit].sum(0))[:, None]  # (P, 1, BINS)
        out[:, held] += (count[held] * means**2 - 2 * means * total[:, held]).sum(2)
    return out.T


def _means(total: Floats, count: NDArray[np.int64]) -> Floats:
    overall = total.sum(-1, keepdims=True) / count.sum()
    return np.asarray((total + _PRIOR * overall) / (count + _PRIOR))


def table_losses(text: str, more: str, target: Target, more_y: Floats) -> tuple[Floats, list[int]]:
    """The loss of each block, (blocks, P), of the best table of the last characters; and how many it looks at, (P,).

    A table has for every string of k characters the mean of the property after it, drawn towards that of the last
    k − 1 in proportion to how rare the string is (so one never seen is read as its end). It is fitted on the other
    half of the text and on all of `more`. Of k = 1 … 5, each property has the k that is best on the text itself: that
    favours the table.

    Args:
        more: further text, at best that which the network learnt from.
        more_y: (P, len(more)) the properties on it, centred and scaled as the target.
    """
    n, half = target.y.shape[1], target.blocks // 2
    cut = n // target.blocks * half
    symbols = np.frombuffer((text[:n] + more).encode("utf-32-le", "surrogatepass"), np.uint32)
    symbol = np.unique(symbols, return_inverse=True)[1].astype(np.int64)
    kinds = int(symbol.max()) + 1
    y = np.concatenate([target.y, more_y], 1)
    every = slice(0, n)
    parts = (slice(0, cut), slice(cut, n), slice(n, None))
    guess = np.zeros_like(target.y)
    for fit, held in ((parts[1:], parts[0]), (parts[::2], parts[1])):
        guess[:, held] = np.concatenate([y[:, part] for part in fit], 1).mean(1, keepdims=True)
    best: list[Floats] = []
    context = np.zeros(len(symbol), np.int64)
    for order in range(ORDERS):
        before = np.concatenate([[0], context[:-1]]) if order else context
        context = np.unique(before * kinds + symbol, return_inverse=True)[1]
        size = int(context.max()) + 1
        counts = [np.bincount(context[part], minlength=size) for part in parts]
        for one, now in zip(y, guess, strict=True):
            sums = [np.bincount(context[part], one[part], size) for part in parts]
            for own in (0, 1):
                here, place = parts[own], context[parts[own]]
                total, count = sums[1 - own] + sums[2], counts[1 - own] + counts[2]
                now[here] = (total[place] + _PRIOR * now[here]) / (count[place] + _PRIOR)
        errors = np.square(target.y - guess[:, every]).reshape(len(guess), target.blocks, -1).sum(2)
        best.append(errors.T)
    stacked = np.stack(best)  # (orders, blocks, P)
    order_of = stacked.sum(1).argmin(0)
    return stacked[order_of, :, np.arange(len(order_of))].T, [int(k) + 1 for k in order_of]


def shifted_scores(codes: Codes, moved: NDArray[np.float32], cut: int) -> Floats:
    """R² of one unit for properties that are out of place, (M,).

    Args:
        codes: (n,) its bins at the places looked at.
        moved: (n, M) the properties there, each moved along the text, of mean square 1.
        cut: how many of the places are in the first half.
    """
    hot = (codes[:, None] == np.arange(BINS, dtype=np.uint8)).astype(np.float32)
    spans = [slice(a, b) for a, b in pairwise((0, cut, len(codes)))]
    total = [hot[span].T @ moved[span] for span in spans]  # (BINS, M)
    count = [hot[span].sum(0) for span in spans]
    gain = np.zeros(moved.shape[1])
    for fit, held in ((0, 1), (1, 0)):
        means = _means(total[fit].T.astype(np.float64), count[fit].astype(np.int64)).T
        gain += (2 * means * total[held] - count[held][:, None] * means**2).sum(0)
    return gain / len(codes)
