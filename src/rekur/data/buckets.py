"""Which sequences go into which batch: shuffled, and those of similar length together."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rekur.errors import DataError, OptionError

Indices = npt.NDArray[np.int64]


class Buckets:
    """Batches of similar length, in another order each epoch.

    An epoch shuffles the N sequences, sorts each stretch of `pool` batches by length, cuts it into batches, and
    shuffles these. Every sequence is in exactly one batch of every epoch; all batches have `batch` sequences but
    one, which has the rest. Epoch and position alone say what a batch is, so a run can go on from any of them, and
    every epoch has the same number of batches.

    Args:
        lengths: (N,) the length of each sequence.
        batch: B, the sequences of a batch.
        seed: of the shuffling.
        pool: batches that are sorted together: 1 is plain shuffling; more pads less and mixes less.

    Raises:
        DataError: there are no sequences.
        OptionError: a number is not positive.

    >>> buckets = Buckets([5, 1, 5, 2, 1, 4, 2], batch=2, seed=0)
    >>> [buckets.batch(0, epoch=0).tolist() for _ in range(2)]  # the same each time
    [[3, 6], [3, 6]]
    >>> sorted(int(i) for at in range(len(buckets)) for i in buckets.batch(at, epoch=1))
    [0, 1, 2, 3, 4, 5, 6]
    """

    def __init__(
        self, lengths: Sequence[int] | npt.NDArray[Any], batch: int, *, seed: int = 0, pool: int = 50
    ) -> None:
        for name, size in (("batch", batch), ("pool", pool)):
            if size < 1:
                raise OptionError(f"{name} must be at least 1, not {size}")
        if not len(lengths):
            raise DataError("there are no sequences to make batches of")
        self._lengths = np.asarray(lengths)
        self._batch, self._seed, self._pool = batch, seed, pool
        self._epoch, self._batches = -1, [np.empty(0, np.int64)]  # of the epoch that was last asked for

    def __len__(self) -> int:
        """The batches of an epoch."""
        return math.ceil(len(self._lengths) / self._batch)

    def batch(self, index: int, *, epoch: int) -> Indices:
        """Which sequences are in batch `index` of `epoch`: (B,) positions in `lengths`, the longest last."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._plan(epoch)
        return self._batches[index]

    def _plan(self, epoch: int) -> list[Indices]:
        generator = np.random.default_rng([self._seed, epoch])
        order = shuffled(generator, len(self._lengths))
        stretch = self._pool * self._batch
        parts = [order[at : at + stretch] for at in range(0, len(order), stretch)]
        batches = [b for part in parts for b in _cut(part[_sorted(self._lengths[part])], self._batch)]
        return [batches[i] for i in shuffled(generator, len(batches))]


def by_length(lengths: Sequence[int] | npt.NDArray[Any], batch: int) -> list[Indices]:
    """Batches for evaluation: every sequence once, sorted by length, so that there is hardly any padding.

    >>> [batch.tolist() for batch in by_length([5, 1, 4, 2], 3)]
    [[1, 3, 2], [0]]
    """
    return _cut(_sorted(np.asarray(lengths)), batch)


def _sorted(lengths: npt.NDArray[Any]) -> Indices:
    return np.argsort(lengths, kind="stable")


def _cut(order: Indices, batch: int) -> list[Indices]:
    return [order[at : at + batch] for at in range(0, len(order), batch)]


def shuffled(generator: np.random.Generator, count: int) -> Indices:
    """An order drawn by sorting uniforms: numpy keeps its stream of uniforms from version to version."""
    return np.argsort(generator.random(count), kind="stable")
