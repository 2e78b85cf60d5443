"""A long text as batches of parallel streams, for truncated back-propagation through time."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rekur.data.vocabulary import Symbols
from rekur.errors import DataError, OptionError

Chunk = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class ContiguousStream:
    """B parallel contiguous streams of a text, T steps a chunk.

    The text is cut into B equal pieces that follow each other; row b of every batch reads piece b from its
    start to its end, so a state carried from chunk i to chunk i + 1 goes on where it stopped. With N
    symbols there are (N − 1) // (B·T) chunks: the fewer than B·T symbols beyond them, at the end of the
    text, are left out, since they do not fill one more chunk. Every other symbol is a target exactly once,
    save the first, which has nothing before it.

    Args:
        symbols: (N,) the text as numbers; a memory map is read only where a batch needs it.
        batch: B, the number of streams.
        time: T, the steps of a chunk.

    Raises:
        OptionError: a size is not positive.
        DataError: the text is too short for a single chunk.

    >>> stream = ContiguousStream(np.arange(9), batch=2, time=2)
    >>> for x, y in stream:
    ...     print(x.tolist(), y.tolist())
    [[0, 1], [4, 5]] [[1, 2], [5, 6]]
    [[2, 3], [6, 7]] [[3, 4], [7, 8]]
    """

    def __init__(self, symbols: Symbols, batch: int, time: int) -> None:
        for name, size in (("batch", batch), ("time", time)):
            if size < 1:
                raise OptionError(f"{name} must be at least 1, not {size}")
        self.batch_size, self.time = batch, time
        self._chunks = (len(symbols) - 1) // (batch * time)
        if self._chunks < 1:
            raise DataError(
                f"the text is too short: batch {batch} and time {time} need at least {batch * time + 1} symbols, "
                f"and it has {len(symbols)}; lower batch or time, or give more text"
            )
        used = batch * self._chunks * time
        self._x = symbols[:used].reshape(batch, -1)  # (B, chunks·T)
        self._y = symbols[1 : used + 1].reshape(batch, -1)  # (B, chunks·T)

    def __len__(self) -> int:
        """The chunks of an epoch."""
        return self._chunks

    def batch(self, index: int) -> Chunk:
        """Chunk `index` of the epoch: symbols x and their successors y, each (B, T) of int64 and the caller's own.

        Any chunk can be had at any time, which makes resuming at a position exact.
        """
        if not 0 <= index < self._chunks:
            raise IndexError(f"chunk {index} of {self._chunks}")
        at = slice(index * self.time, (index + 1) * self.time)
        return self._x[:, at].astype(np.int64), self._y[:, at].astype(np.int64)

    def __iter__(self) -> Iterator[Chunk]:
        return (self.batch(index) for index in range(self._chunks))
