"""Examples parted into training, validation and test."""

from collections.abc import Hashable, Sequence
from fractions import Fraction
from math import lcm

import numpy as np

from rekur.data.buckets import Indices, shuffled
from rekur.errors import OptionError

SPLITS = ("train", "validation", "test")


def ends(fractions: Sequence[float]) -> tuple[Fraction, Fraction, Fraction]:
    """Where the splits end, exactly as the decimals say: 0.7 + 0.1 in floating point falls short of 0.8."""
    if len(fractions) != len(SPLITS) or not all(0 <= f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise OptionError(f"{', '.join(SPLITS)} are to be three fractions that add up to 1, not {tuple(fractions)}")
    train, validation, _ = (Fraction(str(f)) for f in fractions)
    return train, min(train + validation, Fraction(1)), Fraction(1)


def split(
    labels: Sequence[Hashable], fractions: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0
) -> tuple[Indices, Indices, Indices]:
    """Part N shuffled examples so that each part has its share of the whole and of every label.

    The whole is met to within one example, and a label to within two.

    Examples of a label follow each other in random order, and each goes to the part that is furthest behind its
    share. Where there are no labels, give the same one for all, as `[0] * N`.

    Args:
        labels: (N,) one for each example.
        fractions: of training, validation and test; they add up to 1.
        seed: of the shuffling.

    Returns:
        The positions of each part's examples, in ascending order.

    >>> train, validation, test = split(["spam", "ham"] * 5, (0.6, 0.2, 0.2))
    >>> len(train), len(validation), len(test)
    (6, 2, 2)
    """
    first, second, last = ends(fractions)
    unit = lcm(first.denominator, second.denominator)
    weights = [int(share * unit) for share in (first, second - first, last - second)]
    kinds = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    order = shuffled(np.random.default_rng(seed), len(labels))
    order = order[np.argsort([kinds[labels[i]] for i in order], kind="stable")]
    behind = [0, 0, 0]  # units that each part is owed; a whole example is `unit` of them
    home = np.zeros(len(labels), np.int64)
    for i in order.tolist():
        behind = [owed + weight for owed, weight in zip(behind, weights, strict=True)]
        home[i] = part = behind.index(max(behind))
        behind[part] -= unit
    train, validation, test = (np.flatnonzero(home == part) for part in range(len(SPLITS)))
    return train, validation, test
