"""Places of a text at which to look at units: their values there, one byte each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rekur.inspect.scores import Codes, Floats

MIDDLE, ENDS = 127, 254
"""The byte in the middle of a column's range, and at its upper end; at its lower end it is 0"""

_STRIDE = 50  # characters between the places that are weighed


@dataclass(frozen=True, eq=False)
class Passage:
    """A piece of a text and the values of columns on it."""

    begin: int
    """Its place in the text"""
    text: str
    values: Codes
    """(columns, len(text)), the place in the column's range, from its 1st to its 99th percentile: see `ENDS`"""


def passage(text: str, begin: int, length: int, columns: NDArray[np.float16]) -> Passage:
    """The values of (N, U) columns on a piece of the text."""
    here = columns[begin : begin + length].astype(np.float32)
    some = columns[:: max(1, len(columns) // 4000)].astype(np.float32)
    low, high = np.quantile(some, (0.01, 0.99), axis=0)
    codes = np.rint(ENDS * np.clip((here - low) / np.maximum(high - low, 1e-6), 0, 1)).astype(np.uint8)
    return Passage(begin, text[begin : begin + length], np.ascontiguousarray(codes.T))


def telling(text: str, properties: NDArray[np.floating], length: int) -> int:
    """Where to begin a piece in which (P, N) properties change most; at a line's beginning if there is one near.

    Each counts by its variance there, and no more than what it has in the whole text: one that jumps wildly does not
    outdo the rest.
    """
    last = properties.shape[1] - length
    if last <= 0:
        return 0
    starts = np.arange(0, last + 1, _STRIDE)
    worth = np.zeros(len(starts))
    for values in np.asarray(properties, np.float64):
        values = values - values.mean()
        first, second = (np.concatenate([[0], np.cumsum(v)]) for v in (values, values**2))
        mean, square = ((sums[starts + length] - sums[starts]) / length for sums in (first, second))
        worth += np.minimum((square - mean**2) / max(second[-1] / len(values), 1e-12), 1)
    begin = int(starts[worth.argmax()])
    feed = text.find("\n", max(0, begin - 1), begin + length // 4)
    return feed + 1 if 0 <= feed < last else begin


@dataclass(frozen=True, eq=False)
class Example:
    """The column that tells a property best, on a piece of text in which the property changes."""

    column: int
    property: int
    passage: Passage
    truth: Floats
    """The property on the passage"""


def examples(
    text: str, columns: NDArray[np.float16], properties: NDArray[np.floating], best: Sequence[tuple[int, int]],
    length: int = 560,
) -> tuple[Example, ...]:  # fmt: skip
    """For each property that is some column's best, the first column of `best` that has it."""
    out = []
    for p in dict.fromkeys(p for _, p in best):
        u = next(column for column, which in best if which == p)
        begin = telling(text, properties[p : p + 1], length)
        end = text.rfind("\n", begin + length // 2, begin + length)  # whole lines, where they are not too long
        size = end - begin if end >= 0 else length
        truth = np.asarray(properties[p, begin : begin + size], np.float64)
        out.append(Example(u, p, passage(text, begin, size, columns[:, u : u + 1]), truth))
    return tuple(out)
