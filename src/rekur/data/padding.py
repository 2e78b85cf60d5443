"""Sequences of different length as one tensor, and losses that see only what is real in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rekur.errors import DataError, ShapeError
from rekur.run.sizes import lengths_to_live


class Padded(NamedTuple):
    """Sequences side by side: `values` `(B, T, …)`, and `lengths` `(B,)`, how many steps of each row are real."""

    values: Tensor
    lengths: Tensor


def collate(sequences: Sequence[Any], *, padding: float = 0) -> Padded:
    """Put sequences of different length side by side; T is the length of the longest.

    What layers of rekur do with it does not depend on the padding, which they never read.

    Args:
        sequences: B of them: symbols `(T_b,)` or features `(T_b, I)`, as tensors, arrays or lists. An empty one is
            a row of length 0. Whole numbers become int64; real ones keep their type.
        padding: what the rest of a row is filled with.

    Raises:
        DataError: there are none.
        ShapeError: their features or types differ.

    >>> values, lengths = collate([[3, 1], [4, 1, 5], []])
    >>> values
    tensor([[3, 1, 0],
            [4, 1, 5],
            [0, 0, 0]])
    >>> lengths
    tensor([2, 3, 0])
    """
    if not len(sequences):
        raise DataError("a batch needs at least one sequence")
    rows = [_tensor(sequence) for sequence in sequences]
    like = next((row for row in rows if len(row)), rows[0])
    for i, row in enumerate(rows):
        if not len(row):
            rows[i] = row = like.new_zeros(0, *like.shape[1:])  # an empty list has neither type nor features
        if row.dtype != like.dtype or row.shape[1:] != like.shape[1:]:
            raise ShapeError(
                f"sequence {i} of the batch has steps {_step(row)}, others have {_step(like)}; make them alike"
            )
    lengths = torch.tensor([len(row) for row in rows], device=like.device)
    return Padded(pad_sequence(rows, batch_first=True, padding_value=padding), lengths)


def masked_loss(
    loss: Callable[[Tensor, Tensor], Tensor], predictions: Tensor, targets: Tensor, lengths: Tensor | Sequence[int]
) -> Tensor:
    """A loss, the mean over the real items of a batch: every item weighs the same, whatever row it is in.

    The loss is given the N real items only. What lies in the padding is never read, may be NaN, and has a gradient
    of exactly zero.

    Args:
        loss: takes `(N, …)` and `(N, …)` and gives a mean, as those of `torch.nn.functional` do.
        predictions: `(B, T, …)`, as logits `(B, T, V)`.
        targets: `(B, T)`, or `(B, T, …)` as the loss wants them.
        lengths: `(B,)` real steps of each row.

    Raises:
        ShapeError: the shapes do not go together, or nothing in the batch is real.

    >>> from torch.nn.functional import cross_entropy
    >>> logits, targets = torch.randn(2, 3, 5), torch.tensor([[4, 0, 0], [1, 2, 3]])
    >>> logits[0, 1:] = torch.nan
    >>> bool(masked_loss(cross_entropy, logits, targets, [1, 3]).isfinite())
    True
    """
    if predictions.shape[:2] != targets.shape[:2] or targets.dim() < 2:
        shapes = f"predictions {tuple(predictions.shape)} and targets {tuple(targets.shape)}"
        raise ShapeError(f"{shapes} must begin with the same (B, T)")
    rows, time = targets.shape[:2]
    live = lengths_to_live(lengths, rows, time, targets.device)
    if not bool(live.any()):
        raise ShapeError(f"a batch of ({rows}, {time}) without a real item has no loss: all lengths are 0")
    return loss(predictions[live], targets[live])


def _tensor(sequence: Any) -> Tensor:
    if isinstance(sequence, np.ndarray) and (sequence.dtype.kind == "u" or not sequence.flags.writeable):
        # torch has no arithmetic for most unsigned types, and warns of memory that it must not write to
        sequence = sequence.astype(np.int64 if sequence.dtype.kind == "u" else sequence.dtype)
    tensor = torch.as_tensor(sequence)
    if not tensor.dim():
        raise ShapeError(f"a sequence has steps: (T,) symbols or (T, I) features, not the single value {sequence!r}")
    return tensor if tensor.is_floating_point() or tensor.dtype == torch.bool else tensor.to(torch.int64)


def _step(row: Tensor) -> str:
    return f"{tuple(row.shape[1:])} of {str(row.dtype).removeprefix('torch.')}"
